"""The multiplicative LSTM, whose recurrence is another one for each input.

Krause, Lu, Murray & Renals, "Multiplicative LSTM for sequence modelling", 2016, arXiv:1609.07959.

    m_t = (W_m x_t) * (U_m h_{t-1})
    i_t = sigmoid(W_i x_t + U_i m_t + b_i)
    f_t = sigmoid(W_f x_t + U_f m_t + b_f)
    o_t = sigmoid(W_o x_t + U_o m_t + b_o)
    g_t = tanh(W_c x_t + U_c m_t + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(c_t)

Known for: language models over characters and bytes; one of its units, trained on product reviews, was found to carry
their sentiment.
Deviates from the paper: its first versions have h_t = tanh(o_t * c_t), the output gate within, and a g_t that is not
squashed; this is the usual LSTM around m, as later programs have it, with biases. Weight normalisation and dropout are
left out.
Oracle: torchrecurrent's MultiplicativeLSTMCell, with the biases of m at zero.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def multiplicative_lstm(x, h, c, p):
    """Multiplicative LSTM (Krause, Lu, Murray & Renals, 2016)."""
    m = (p.W_m @ x) * (p.U_m @ h)
    i = sigmoid(p.W_i @ x + p.U_i @ m + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ m + p.b_f)
    o = sigmoid(p.W_o @ x + p.U_o @ m + p.b_o)
    g = tanh(p.W_c @ x + p.U_c @ m + p.b_c)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
