"""The LSTM whose input gate depends on what does not change.

Kratzert et al., "Towards learning universal, regional, and local hydrological behaviors via machine learning applied to
large-sample datasets", Hydrology and Earth System Sciences 23, 2019, doi:10.5194/hess-23-5089-2019, arXiv:1907.08456.

    i   = sigmoid(W_i s + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    c_t = f_t * c_{t-1} + i * g_t
    h_t = o_t * tanh(c_t)

s are the entity's attributes, given once a sequence: a catchment's area, slope, soil and climate. So i is computed once
a sequence too, and says which cells an entity uses: similar entities have similar input gates.
Known for: one rainfall-runoff model for hundreds of catchments, better than models made for each of them.
Deviates from the paper: nothing; parameters start as in the authors' code, matrices orthogonal gate by gate, recurrent
ones the identity, biases 0 but b_f, which is 5 as in their experiments.
Oracle: neuralhydrology, the library of the first author: its EALSTM; and torch.nn.LSTM on (x_t, s) at every step, with
zeros where the input gate would see x_t and h_{t-1}, and where the others would see s.
"""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

from torch.nn.init import eye_, orthogonal_

from carousel.graph import cell, sigmoid, static, tanh


@cell(init={"W_*": orthogonal_, "U_*": eye_, "b_*": 0.0, "b_f": 5.0})
def entity_aware_lstm(x, h, c, p, *, s=static("static_size")):
    """Entity-aware LSTM (Kratzert et al., 2019)."""
    i = sigmoid(p.W_i @ s + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
