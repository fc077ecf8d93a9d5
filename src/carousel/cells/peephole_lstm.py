"""The LSTM whose gates see the cell's state.

Gers & Schmidhuber, "Recurrent nets that time and count", IJCNN 2000, doi:10.1109/IJCNN.2000.861302.

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o)
    h_t = o_t * tanh(c_t)

Known for: precise timing and counting, and for speech and handwriting recognition through the 2000s.
Deviates from the paper: one cell a block, gradients are full (the paper lets none flow back through peepholes), and
the squashing functions are tanh.
Oracle: ONNX's LSTM operator with P = (V_i, V_o, V_f), run by onnxruntime.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def peephole_lstm(x, h, c, p):
    """LSTM with peepholes on all three gates (Gers & Schmidhuber, 2000)."""
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * c + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * c + p.b_i)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * c + p.b_o)
    h = o * tanh(c)
    return h, c
