"""The LSTM as it was first published: input and output gates, no forget gate, blocks of cells that share their gates.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, doi:10.1162/neco.1997.9.8.1735.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + R_ii i_{t-1} + R_oi o_{t-1} + b_i)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + R_io i_{t-1} + R_oo o_{t-1} + b_o)
    g_t = 4 sigmoid(W_c x_t + U_c h_{t-1} + R_ic i_{t-1} + R_oc o_{t-1}) - 2
    s_t = s_{t-1} + i_t * g_t
    h_t = o_t * (2 sigmoid(s_t) - 1)

There are hidden_size cells in `blocks` blocks of equal size, with one input and one output gate for each block. Gates
and cells see the gates of the step before, besides the cells. `lstm_1997.with_(truncate=True)` has the paper's
gradient: an error that reaches a gate or the input of a cell changes the weights into it and goes no further back; only
along s does it flow through time. `biased` names the units with a bias, of i, o and c: "io" as in experiment 1, "ioc"
as in experiments 3 to 6, "" as in 2c.
Known for: the constant error carousel, an error that neither vanishes nor explodes over a thousand steps and more.
Deviates from the paper: gradients are full unless truncate is set; weights start as in PyTorch, where the paper draws
them from -0.2 to 0.2 or -0.1 to 0.1 and starts the gates' biases, by experiment, at -1 to -6. Its table 10 has the
ranges of g and h the wrong way round; these are those of its text, -2 to 2 and -1 to 1.
Oracle: torch.nn.LSTMCell, whose forget gate is held open, whose c is s / 2 (2 sigmoid(a) - 1 is tanh(a / 2)), and whose
input holds the gates of the step before. Where gates see no gates, torchrecurrent's OriginalLSTMCell says the same. The
truncated gradient is also that of the traces in the paper's appendix.
"""

from carousel.graph import cell, expand, sigmoid, stop_gradient


@cell(widths={"i": "blocks", "o": "blocks"})
def lstm_1997(x, h, s, i, o, p, *, truncate=False, biased="io"):
    """LSTM with input and output gates only (Hochreiter & Schmidhuber, 1997)."""
    if not set(biased) <= set("ioc"):
        raise ValueError(f'lstm_1997: biased is {biased!r}, expected letters of "ioc".')
    if truncate:
        h, i, o = stop_gradient(h), stop_gradient(i), stop_gradient(o)
    net_i = p.W_i @ x + p.U_i @ h + p.R_ii @ i + p.R_oi @ o
    net_o = p.W_o @ x + p.U_o @ h + p.R_io @ i + p.R_oo @ o
    net_c = p.W_c @ x + p.U_c @ h + p.R_ic @ i + p.R_oc @ o
    i = sigmoid(net_i + p.b_i if "i" in biased else net_i)
    o = sigmoid(net_o + p.b_o if "o" in biased else net_o)
    g = 4 * sigmoid(net_c + p.b_c if "c" in biased else net_c) - 2
    s = s + expand(i, like=s) * g
    h = expand(o, like=s) * (2 * sigmoid(s) - 1)
    return h, s, i, o
