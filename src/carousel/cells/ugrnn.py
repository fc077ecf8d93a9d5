"""The update gate network, a plain network with one gate that holds the state.

Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks", ICLR 2017,
arXiv:1611.09913.

    c_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    g_t = sigmoid(W_g x_t + U_g h_{t-1} + b_g)
    h_t = g_t * h_{t-1} + (1 - g_t) * c_t

Known for: the least addition to a plain network that trains as easily as LSTM and GRU when nets are shallow; all of
them then store about the same number of bits a parameter.
Deviates from the paper: nothing; its s is tanh, or relu with `ugrnn.with_(s=relu)`.
Oracle: torchrecurrent's UGRNNCell, whose weight_ih is (W_c, W_g) one below the other and whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def ugrnn(x, h, p, *, s=tanh):
    """Update gate RNN (Collins, Sohl-Dickstein & Sussillo, 2017)."""
    c = s(p.W_c @ x + p.U_c @ h + p.b_c)
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    h = g * h + (1 - g) * c
    return h
