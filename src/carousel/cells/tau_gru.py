"""The tau-GRU: a gated cell that also sees its state of some steps ago.

Erichson, Lim & Mahoney, "Gated recurrent neural networks with weighted time-delay feedback", 2022, arXiv:2212.00228.

    u_t = tanh(W_u x_t + U_u h_{t-1} + b_u)
    z_t = tanh(W_z x_t + U_z h_{t-1-delay} + b_z)
    g_t = sigmoid(W_g x_t + U_g h_{t-1} + b_g)
    a_t = sigmoid(W_a x_t + U_a h_{t-1} + b_a)
    h_t = (1 - g_t) * h_{t-1} + g_t * (u_t + a_t * z_t)

The state `past` holds the last `delay` values of h, the newest first, and is shifted at each step; the delay is 10
unless `tau_gru.with_(delay=30)` says otherwise. Before the sequence h is 0.
Known for: long memory from a delay differential equation, whose feedback skips over many steps at once.
Deviates from the paper: its U and W are W and U here, its n + 1 is t, and there are biases. It chooses the delay for
each task.
Oracle: torchrecurrent's tauGRUCell, given the delayed state at each step.
"""

from carousel.cells.options import check_count
from carousel.graph import cell, concat, sigmoid, split, tanh


@cell
def tau_gru(x, h, past, p, *, delay=10):
    """Gated recurrent unit with weighted time-delay feedback (Erichson, Lim & Mahoney, 2022)."""
    check_count("tau_gru", delay=delay)
    kept = split(past, *[h] * delay)
    u = tanh(p.W_u @ x + p.U_u @ h + p.b_u)
    z = tanh(p.W_z @ x + p.U_z @ kept[-1] + p.b_z)
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    a = sigmoid(p.W_a @ x + p.U_a @ h + p.b_a)
    past = concat(h, *kept[:-1])
    h = (1 - g) * h + g * (u + a * z)
    return h, past
