"""MUT1, the first of the three cells that an evolutionary search over ten thousand found.

Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015,
https://proceedings.mlr.press/v37/jozefowicz15.html.

    z_t = sigmoid(W_z x_t + b_z)
    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    n_t = tanh(U_h (r_t * h_{t-1}) + tanh(W_h x_t) + b_h)
    h_t = n_t * z_t + h_{t-1} * (1 - z_t)

Known for: a cell found by a search that resembles the GRU closely, with an update gate that sees the input only.
Deviates from the paper: it has tanh(x_t) in place of tanh(W_h x_t), which asks for as many inputs as units.
Oracle: torchrecurrent's MUT1Cell, with the bias inside the inner tanh at zero.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def mut1(x, h, p):
    """First mutation of the GRU (Jozefowicz, Zaremba & Sutskever, 2015)."""
    z = sigmoid(p.W_z @ x + p.b_z)
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    n = tanh(p.U_h @ (r * h) + tanh(p.W_h @ x) + p.b_h)
    h = n * z + h * (1 - z)
    return h
