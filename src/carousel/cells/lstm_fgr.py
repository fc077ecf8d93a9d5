"""The LSTM with full gate recurrence: every gate sees all gates of the step before.

Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, "LSTM: A search space odyssey", IEEE Transactions on Neural
Networks and Learning Systems 28(10), 2017, doi:10.1109/TNNLS.2016.2582924; the letters are those of
arXiv:1503.04069v2, but U for its R between cells, V for its p, and h for its y.

    z_t = tanh(W_z x_t + U_z h_{t-1} + b_z)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i + R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1})
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f + R_if i_{t-1} + R_ff f_{t-1} + R_of o_{t-1})
    c_t = z_t * i_t + c_{t-1} * f_t
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o + R_io i_{t-1} + R_fo f_{t-1} + R_oo o_{t-1})
    h_t = tanh(c_t) * o_t

Known for: bringing back what the LSTM of 1997 had, at nine more matrices, and gaining nothing by it.
Deviates from the paper: nothing.
Oracle: torch.nn.LSTMCell, whose input holds the gates of the step before and the states that the peepholes see.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def lstm_fgr(x, h, c, i, f, o, p):
    """LSTM with full gate recurrence (Greff et al., 2017)."""
    z = tanh(p.W_z @ x + p.U_z @ h + p.b_z)
    net_i = p.W_i @ x + p.U_i @ h + p.V_i * c + p.b_i + p.R_ii @ i + p.R_fi @ f + p.R_oi @ o
    net_f = p.W_f @ x + p.U_f @ h + p.V_f * c + p.b_f + p.R_if @ i + p.R_ff @ f + p.R_of @ o
    net_o = p.W_o @ x + p.U_o @ h + p.R_io @ i + p.R_fo @ f + p.R_oo @ o
    i = sigmoid(net_i)
    f = sigmoid(net_f)
    c = z * i + c * f
    o = sigmoid(net_o + p.V_o * c + p.b_o)
    h = tanh(c) * o
    return h, c, i, f, o
