"""The residual layer: the LSTM's cell update in depth, with its gates open.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition", 2015, arXiv:1512.03385.

    g_l = W_2 relu(W_1 h_{l-1} + b_1) + b_2
    h_l = h_{l-1} + g_l

l counts layers, each of which has weights of its own; the net's input is h_0, and x is not read. The sum is the LSTM's
c = f * c + i * g with f = i = 1: the error carousel of 1997, in depth.
Known for: being in nearly every deep network since.
Deviates from the paper: products of matrices in place of convolutions, and no batch normalisation; nothing squashes the
sum, as in the authors' second paper (2016, arXiv:1603.05027). `residual.with_(after=relu)` is the first one's.
Oracle: torch.nn.Linear, two to a layer.
"""

from carousel.graph import cell, identity, relu


@cell
def residual(x, h, p, *, after=identity):
    """Residual layer (He, Zhang, Ren & Sun, 2015)."""
    g = p.W_2 @ relu(p.W_1 @ h + p.b_1) + p.b_2
    h = after(h + g)
    return h
