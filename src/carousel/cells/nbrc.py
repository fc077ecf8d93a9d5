"""The neuromodulated bistable recurrent cell, whose units switch each other between one and two stable values.

Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting memory", PLOS ONE 16(6), 2021,
doi:10.1371/journal.pone.0252676, arXiv:2006.05252.

    a_t = 1 + tanh(W_a x_t + U_a h_{t-1} + b_a)
    c_t = sigmoid(W_c x_t + U_c h_{t-1} + b_c)
    h_t = c_t * h_{t-1} + (1 - c_t) * tanh(W_h x_t + a_t * h_{t-1})

As `brc`, but the gates see all units. U_a and U_c start orthogonal and biases at 0, as in the authors'
minimal example.
Known for: learning lags of hundreds of steps.
Deviates from the paper: its letters are U for W and W for U; the biases b_a and b_c stand in the authors' code only.
Oracle: torchrecurrent's NBRCell, whose weight_ih is (W_a, W_c, W_h) one below the other and weight_hh is (U_a, U_c).
"""

import torch

from carousel.graph import cell, sigmoid, tanh


@cell(init={"U_*": torch.nn.init.orthogonal_, "b_*": 0.0})
def nbrc(x, h, p):
    """Neuromodulated bistable recurrent cell (Vecoven, Ernst & Drion, 2021)."""
    a = 1 + tanh(p.W_a @ x + p.U_a @ h + p.b_a)
    c = sigmoid(p.W_c @ x + p.U_c @ h + p.b_c)
    h = c * h + (1 - c) * tanh(p.W_h @ x + a * h)
    return h
