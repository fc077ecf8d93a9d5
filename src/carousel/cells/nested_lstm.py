"""The nested LSTM, whose memory cell is an LSTM.

Moniz & Krueger, "Nested LSTMs", ACML 2017, arXiv:1801.10308.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    x'_t = i_t * tanh(W_c x_t + U_c h_{t-1} + b_c)
    h'_{t-1} = f_t * c_{t-1}
    i'_t = sigmoid(W'_i x'_t + U'_i h'_{t-1} + b'_i)
    f'_t = sigmoid(W'_f x'_t + U'_f h'_{t-1} + b'_f)
    o'_t = sigmoid(W'_o x'_t + U'_o h'_{t-1} + b'_o)
    c'_t = f'_t * c'_{t-1} + i'_t * tanh(W'_c x'_t + U'_c h'_{t-1} + b'_c)
    c_t = o'_t * tanh(c'_t)
    h_t = o_t * tanh(c_t)

A prime is an n in the function: W'_i is p.Wn_i, c' is cn.
Known for: memories on two time scales, the inner one reached through the outer one only.
Deviates from the paper: nothing.
Oracle: torch.nn.LSTMCell, asked four times a step: for the inner LSTM, and for i * g, f * c and h of the outer one.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def nested_lstm(x, h, c, cn, p):
    """LSTM whose memory is an LSTM (Moniz & Krueger, 2017)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    xn = i * tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    hn = f * c
    i_n = sigmoid(p.Wn_i @ xn + p.Un_i @ hn + p.bn_i)
    f_n = sigmoid(p.Wn_f @ xn + p.Un_f @ hn + p.bn_f)
    o_n = sigmoid(p.Wn_o @ xn + p.Un_o @ hn + p.bn_o)
    cn = f_n * cn + i_n * tanh(p.Wn_c @ xn + p.Un_c @ hn + p.bn_c)
    c = o_n * tanh(cn)
    h = o * tanh(c)
    return h, c, cn
