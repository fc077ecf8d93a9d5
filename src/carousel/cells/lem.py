"""LEM, long expressive memory: two states that move at speeds of their own, which are learned.

Rusch, Mishra, Erichson & Mahoney, "Long expressive memory for sequence modeling", ICLR 2022, arXiv:2110.04744.

    s_t = dt * sigmoid(W_1 x_t + U_1 y_{t-1} + b_1)
    r_t = dt * sigmoid(W_2 x_t + U_2 y_{t-1} + b_2)
    z_t = (1 - s_t) * z_{t-1} + s_t * tanh(W_z x_t + U_z y_{t-1} + b_z)
    y_t = (1 - r_t) * y_{t-1} + r_t * tanh(W_y x_t + U_y z_t + b_y)

One step of a differential equation with many time scales; s and r, which the paper calls Delta t_n and Delta t_n with a
bar, are the steps of each unit.
Known for: bounds on its gradients that are proved, and long sequences with several time scales, with as many
parameters as an LSTM.
Deviates from the paper: its letters are V for W and W for U; nothing else.
Oracle: torchrecurrent's LEMCell, asked twice a step, for z_t and then with that for y_t: its y_t sees z_{t-1} against
the paper, the authors' code and its own page.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def lem(x, y, z, p, *, dt=1.0):
    """Long expressive memory (Rusch et al., 2022)."""
    s = dt * sigmoid(p.W_1 @ x + p.U_1 @ y + p.b_1)
    r = dt * sigmoid(p.W_2 @ x + p.U_2 @ y + p.b_2)
    z = (1 - s) * z + s * tanh(p.W_z @ x + p.U_z @ y + p.b_z)
    y = (1 - r) * y + r * tanh(p.W_y @ x + p.U_y @ z + p.b_y)
    return y, z
