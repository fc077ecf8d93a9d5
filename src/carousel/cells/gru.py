"""The gated recurrent unit, with the reset gate after the matrix product.

Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation", EMNLP
2014, arXiv:1406.1078.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_hn))
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Known for: accuracy near that of the LSTM with three quarters of its parameters and one state.
Deviates from the paper: it resets before the product, U_n (r_t * h_{t-1}), as the cell named gru_reset_before does, and
has no biases. This is the order of its first version, arXiv:1406.1078v1, and of cuDNN.
Oracle: torch.nn.GRU, whose weight_ih_l0 is (W_r, W_z, W_n) one below the other, weight_hh_l0 likewise of U; b_r and b_z
are the sums of its two biases, b_n is the last third of bias_ih_l0 and b_hn that of bias_hh_l0.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def gru(x, h, p):
    """Gated recurrent unit (Cho et al., 2014), reset after the product as in cuDNN."""
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = tanh(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.b_hn))
    h = (1 - z) * n + z * h
    return h
