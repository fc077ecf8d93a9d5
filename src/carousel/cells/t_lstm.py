"""The strongly typed LSTM, whose gates see this input and the one before.

Balduzzi & Ghifary, "Strongly-typed recurrent neural networks", ICML 2016, arXiv:1602.02218.

    z_t = V_z x_{t-1} + W_z x_t + b_z
    f_t = sigmoid(V_f x_{t-1} + W_f x_t + b_f)
    o_t = tanh(V_o x_{t-1} + W_o x_t + b_o)
    c_t = f_t * c_{t-1} + (1 - f_t) * z_t
    h_t = c_t * o_t

h_t is an output that does not recur. Of the input before, the states vz, vf and vo keep what the matrices make of it,
V_z x_{t-1}, V_f x_{t-1} and V_o x_{t-1}: so every product comes before the loop.
Known for: gates without a recurrent matrix; the quasi-recurrent network has the same form.
Deviates from the paper: nothing; it leaves tau open, which is tanh here.
Oracle: torchrecurrent's TLSTMCell, which keeps the input itself, and whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def t_lstm(x, c, vz, vf, vo, p, *, tau=tanh):
    """Strongly typed LSTM (Balduzzi & Ghifary, 2016)."""
    z = vz + p.W_z @ x + p.b_z
    f = sigmoid(vf + p.W_f @ x + p.b_f)
    o = tau(vo + p.W_o @ x + p.b_o)
    c = f * c + (1 - f) * z
    h = c * o
    return h, c, p.V_z @ x, p.V_f @ x, p.V_o @ x
