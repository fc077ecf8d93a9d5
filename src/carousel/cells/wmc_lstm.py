"""The LSTM with working memory connections: its gates see a squashed projection of the cell's state.

Landi, Baraldi, Cornia & Cucchiara, "Working memory connections for LSTM", Neural Networks 144, 2021,
doi:10.1016/j.neunet.2021.08.030, arXiv:2109.00020.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + tanh(V_i c_{t-1}) + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + tanh(V_f c_{t-1}) + b_f)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + tanh(V_o c_t) + b_o)
    h_t = o_t * tanh(c_t)

V_i, V_f and V_o are matrices, unlike peepholes. tanh keeps a large c from saturating the gates.
Known for: what peepholes aim at, gates that know what is stored, without their instability on long sequences.
Deviates from the paper: nothing but letters.
Oracle: torchrecurrent's WMCLSTMCell, whose weight_mh is (V_i, V_f, V_o) one below the other.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def wmc_lstm(x, h, c, p):
    """LSTM with working memory connections (Landi et al., 2021)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + tanh(p.V_i @ c) + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + tanh(p.V_f @ c) + p.b_f)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    o = sigmoid(p.W_o @ x + p.U_o @ h + tanh(p.V_o @ c) + p.b_o)
    h = o * tanh(c)
    return h, c
