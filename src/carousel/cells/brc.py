"""The bistable recurrent cell, each of whose units can hold one of two values for good.

Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting memory", PLOS ONE 16(6), 2021,
doi:10.1371/journal.pone.0252676, arXiv:2006.05252.

    a_t = 1 + tanh(W_a x_t + V_a * h_{t-1} + b_a)
    c_t = sigmoid(W_c x_t + V_c * h_{t-1} + b_c)
    h_t = c_t * h_{t-1} + (1 - c_t) * tanh(W_h x_t + a_t * h_{t-1})

A unit feeds itself with strength a in (0, 2): above 1 it has two stable values, below 1 it has one. V_a and V_c start
at 1 and biases at 0, as in the authors' code.
Known for: long memory in units that see only themselves.
Deviates from the paper: its letters are U for W and w for V; the biases b_a and b_c stand in the authors' code only.
Oracle: torchrecurrent's BRCell, whose weight_ih is (W_a, W_c, W_h) one below the other and weight_hh is (V_a, V_c).
"""

from carousel.graph import cell, sigmoid, tanh


@cell(init={"V_*": 1.0, "b_*": 0.0})
def brc(x, h, p):
    """Bistable recurrent cell (Vecoven, Ernst & Drion, 2021)."""
    a = 1 + tanh(p.W_a @ x + p.V_a * h + p.b_a)
    c = sigmoid(p.W_c @ x + p.V_c * h + p.b_c)
    h = c * h + (1 - c) * tanh(p.W_h @ x + a * h)
    return h
