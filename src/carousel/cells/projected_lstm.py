"""The LSTM whose output is projected to fewer units before it recurs.

Sak, Senior & Beaufays, "Long short-term memory based recurrent neural network architectures for large vocabulary
speech recognition", 2014, arXiv:1402.1128.

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = W_hr (o_t * tanh(c_t))

c is hidden_size wide, h proj_size.
Known for: large-vocabulary speech recognition: many cells, few recurrent parameters.
Deviates from the paper: no peepholes, and no second projection that does not recur; the cell named lstmp has both.
Oracle: torch.nn.LSTM with proj_size; weights as for the lstm cell, and weight_hr_l0 is W_hr.
"""

from carousel.graph import cell, sigmoid, tanh


@cell(widths={"c": "hidden_size", "h": "proj_size"})
def projected_lstm(x, h, c, p):
    """LSTM with a recurrent projection (Sak, Senior & Beaufays, 2014), without peepholes as in PyTorch."""
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    h = p.W_hr @ (o * tanh(c))
    return h, c
