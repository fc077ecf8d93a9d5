"""The LSTM with peepholes and two projections, one that recurs and one that does not.

Sak, Senior & Beaufays, "Long short-term memory based recurrent neural network architectures for large vocabulary
speech recognition", 2014, arXiv:1402.1128.

    i_t = sigmoid(W_i x_t + U_i r_{t-1} + V_i * c_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f r_{t-1} + V_f * c_{t-1} + b_f)
    c_t = f_t * c_{t-1} + i_t * tanh(W_c x_t + U_c r_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o r_{t-1} + V_o * c_t + b_o)
    m_t = o_t * tanh(c_t)
    r_t = W_rm m_t
    p_t = W_pm m_t
    y_t = (r_t, p_t)

c is hidden_size wide, r proj_size, p nonrecurrent_size, and y both: the paper's softmax reads y. Without the second
projection, `lstmp.with_(nonrecurrent=False)`, y is r; the cell named projected_lstm has no peepholes either. As in the
paper parameters start uniformly in +-0.02.
Known for: large-vocabulary speech recognition at Google: many cells and many outputs at the price of few recurrent
parameters.
Deviates from the paper: nothing in the equations; its experiments clip c to +-50.
Oracle: ONNX's LSTM operator, with P = (V_i, V_o, V_f) and R = U W_rm, started from an output that W_rm takes to r_0; r
and p are the projections of what it gives. Without peepholes and p also torch.nn.LSTM with proj_size.
"""

from functools import partial

from torch.nn.init import uniform_

from carousel.graph import cell, concat, sigmoid, tanh


@cell(
    widths={"c": "hidden_size", "r": "proj_size", "projected": "nonrecurrent_size"},
    init={"*": partial(uniform_, a=-0.02, b=0.02)},
)
def lstmp(x, r, c, p, *, nonrecurrent=True):
    """LSTM with recurrent and non-recurrent projection (Sak, Senior & Beaufays, 2014)."""
    i = sigmoid(p.W_i @ x + p.U_i @ r + p.V_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ r + p.V_f * c + p.b_f)
    c = f * c + i * tanh(p.W_c @ x + p.U_c @ r + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ r + p.V_o * c + p.b_o)
    m = o * tanh(c)
    r = p.W_rm @ m
    if not nonrecurrent:
        return r, c
    projected = p.W_pm @ m
    return concat(r, projected), r, c
