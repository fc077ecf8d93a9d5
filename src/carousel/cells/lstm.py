"""The LSTM with forget gates, as it is most widely used.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, doi:10.1162/neco.1997.9.8.1735;
forget gates: Gers, Schmidhuber & Cummins, "Learning to forget", Neural Computation 12(10), 2000,
doi:10.1162/089976600300015015.

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(c_t)

b_f starts at 1, so that the cell remembers before it has learned what to forget (Jozefowicz, Zaremba & Sutskever, "An
empirical exploration of recurrent network architectures", ICML 2015; the paper too starts it above 0). carousel.LSTM
starts as torch.nn.LSTM does.
Known for: being what is meant by LSTM today: the default for labelling, forecasting and transcribing sequences.
Deviates from the paper: one cell a block, gates see the previous outputs of all cells, gradients are full (the papers
truncate them), and the squashing functions are tanh.
Oracle: torch.nn.LSTM, whose weight_ih_l0 is (W_i, W_f, W_c, W_o) one below the other, weight_hh_l0 likewise of U, and
whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell(init={"b_f": 1.0})
def lstm(x, h, c, p):
    """LSTM with forget gates (Gers, Schmidhuber & Cummins, 2000)."""
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
