"""The recurrent additive network, an LSTM whose cell adds up inputs that no state has touched.

Lee, Levy & Zettlemoyer, "Recurrent additive networks", 2017, arXiv:1705.07393.

    g_t = W_c x_t
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    c_t = i_t * g_t + f_t * c_{t-1}
    h_t = out(c_t)

out is tanh; the paper also has the identity: `ran.with_(out=identity)`.
Known for: showing that gates alone carry an LSTM: c is a weighted sum of the inputs, with weights that can be read off.
Deviates from the paper: nothing.
Oracle: torchrecurrent's RANCell, whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def ran(x, h, c, p, *, out=tanh):
    """Recurrent additive network (Lee, Levy & Zettlemoyer, 2017)."""
    g = p.W_c @ x
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    c = i * g + f * c
    h = out(c)
    return h, c
