"""The residual LSTM, whose output gate passes a projection of the cell and the layer's input.

Kim, El-Khamy & Lee, "Residual LSTM: design of a deep recurrent architecture for distant speech recognition",
Interspeech 2017, arXiv:1701.03360.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f)
    c_t = f_t * c_{t-1} + i_t * tanh(W_c x_t + U_c h_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o)
    m_t = W_p tanh(c_t)
    h_t = o_t * (m_t + W_h x_t)

Known for: stacks of ten layers in speech recognition, where deep plain LSTMs lose accuracy.
Deviates from the paper: h is as wide as c, and W_h stands even where the input is as wide as the output, in which case
the paper may take the input itself.
Oracle: torchrecurrent's ResLSTMCell, whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def res_lstm(x, h, c, p):
    """Residual LSTM (Kim, El-Khamy & Lee, 2017)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * c + p.b_f)
    c = f * c + i * tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * c + p.b_o)
    m = p.W_p @ tanh(c)
    h = o * (m + p.W_h @ x)
    return h, c
