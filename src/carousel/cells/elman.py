"""The simple recurrent network.

Elman, "Finding structure in time", Cognitive Science 14(2), 1990, doi:10.1207/s15516709cog1402_1.

    h_t = f(W x_t + U h_{t-1} + b)

Known for: being the first recurrent network that many learn, and the plain net against which memory cells are measured.
Deviates from the paper: f is tanh, or relu with `elman.with_(f=relu)`, where the paper has the logistic function.
Oracle: torch.nn.RNN, whose weight_ih_l0 is W, weight_hh_l0 is U, and whose two biases add up to b.
"""

from carousel.graph import cell, tanh


@cell
def elman(x, h, p, *, f=tanh):
    """Simple recurrent network (Elman, 1990)."""
    h = f(p.W @ x + p.U @ h + p.b)
    return h
