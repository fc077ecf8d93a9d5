"""The LSTM whose gates see the cell's state.

Gers & Schmidhuber, "Recurrent nets that time and count", IJCNN 2000, doi:10.1109/IJCNN.2000.861302; Gers, Schraudolph &
Schmidhuber, "Learning precise timing with LSTM recurrent networks", Journal of Machine Learning Research 3, 2002,
https://www.jmlr.org/papers/v3/gers02a.html.

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o)
    h_t = o_t * tanh(c_t)

The paper of 2002 squashes neither on the way in nor out, and lets no error flow back through the peepholes:
`peephole_lstm.with_(into=identity, out=identity, truncate=True)`.
Known for: precise timing and counting, and for speech and handwriting recognition through the 2000s.
Deviates from the paper: one cell a block; gradients are full unless truncate is set, which stops the peepholes' and no
others; the squashing functions are tanh unless chosen.
Oracle: ONNX's LSTM operator, with P = (V_i, V_o, V_f), run by its own reference and by onnxruntime. With truncate,
torch.nn.LSTMCell, whose input holds the cell's states, detached.
"""

from carousel.graph import cell, sigmoid, stop_gradient, tanh


@cell
def peephole_lstm(x, h, c, p, *, into=tanh, out=tanh, truncate=False):
    """LSTM with peepholes on all three gates (Gers & Schmidhuber, 2000)."""
    seen = stop_gradient(c) if truncate else c
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * seen + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * seen + p.b_i)
    g = into(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    seen = stop_gradient(c) if truncate else c
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * seen + p.b_o)
    h = o * out(c)
    return h, c
