"""MUT2, the second of the three cells that an evolutionary search over ten thousand found.

Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015,
https://proceedings.mlr.press/v37/jozefowicz15.html.

    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    n_t = tanh(U_h (r_t * h_{t-1}) + W_h x_t + b_h)
    h_t = n_t * z_t + h_{t-1} * (1 - z_t)

Known for: a search that came back to the GRU: but for the reset gate's bare input, this is the GRU with the reset
before the product.
Deviates from the paper: its reset gate has x_t in place of W_r x_t, which asks for as many inputs as units.
Oracle: torchrecurrent's MUT2Cell, whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def mut2(x, h, p):
    """Second mutation of the GRU (Jozefowicz, Zaremba & Sutskever, 2015)."""
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    n = tanh(p.U_h @ (r * h) + p.W_h @ x + p.b_h)
    h = n * z + h * (1 - z)
    return h
