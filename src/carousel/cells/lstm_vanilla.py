"""The LSTM that the search space odyssey starts from: all three gates, with peepholes.

Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, "LSTM: A search space odyssey", IEEE Transactions on Neural
Networks and Learning Systems 28(10), 2017, doi:10.1109/TNNLS.2016.2582924; the letters are those of
arXiv:1503.04069v2, but U for its R, V for its p, and h for its y.

    z_t = tanh(W_z x_t + U_z h_{t-1} + b_z)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f)
    c_t = z_t * i_t + c_{t-1} * f_t
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o)
    h_t = tanh(c_t) * o_t

Known for: being the one that none of the eight variants beat by much, over 5,400 trainings on speech, handwriting and
music.
Deviates from the paper: nothing.
Oracle: ONNX's LSTM operator, with P = (V_i, V_o, V_f).
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def lstm_vanilla(x, h, c, p):
    """Vanilla LSTM (Greff et al., 2017)."""
    z = tanh(p.W_z @ x + p.U_z @ h + p.b_z)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * c + p.b_f)
    c = z * i + c * f
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * c + p.b_o)
    h = tanh(c) * o
    return h, c
