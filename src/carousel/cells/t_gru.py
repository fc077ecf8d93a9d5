"""The strongly typed GRU, whose gates see this input and the one before.

Balduzzi & Ghifary, "Strongly-typed recurrent neural networks", ICML 2016, arXiv:1602.02218.

    z_t = V_z x_{t-1} + W_z x_t + b_z
    f_t = sigmoid(V_f x_{t-1} + W_f x_t + b_f)
    o_t = tanh(V_o x_{t-1} + W_o x_t + b_o)
    h_t = f_t * h_{t-1} + z_t * o_t

Of the input before, the states vz, vf and vo keep what the matrices make of it, V_z x_{t-1}, V_f x_{t-1} and
V_o x_{t-1}: so every product comes before the loop.
Known for: gates without a recurrent matrix: quantities of one kind add up to quantities of that kind only.
Deviates from the paper: nothing; it leaves tau open, which is tanh here.
Oracle: torchrecurrent's TGRUCell, which keeps the input itself, and whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def t_gru(x, h, vz, vf, vo, p, *, tau=tanh):
    """Strongly typed GRU (Balduzzi & Ghifary, 2016)."""
    z = vz + p.W_z @ x + p.b_z
    f = sigmoid(vf + p.W_f @ x + p.b_f)
    o = tau(vo + p.W_o @ x + p.b_o)
    h = f * h + z * o
    return h, p.V_z @ x, p.V_f @ x, p.V_o @ x
