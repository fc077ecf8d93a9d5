"""The minimal LSTM whose gates and candidate do not see the state, so that training needs no loop over time.

Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024, arXiv:2410.01201.

    f_t = sigmoid(W_f x_t + b_f)
    i_t = sigmoid(W_i x_t + b_i)
    n_t = W_h x_t + b_h
    h_t = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * n_t

Known for: an LSTM with the gates normalised to a sum of one, so that the state keeps its scale whatever the length.
Deviates from the paper: nothing; the form in logarithms, whose n_t is kept positive for the parallel scan, is not here.
Oracle: torchrecurrent's TRNNCell, given n_t and the difference of the gates' logarithms in place of its input.
"""

from carousel.graph import cell, sigmoid


@cell
def min_lstm(x, h, p):
    """Minimal LSTM without recurrent matrices (Feng et al., 2024)."""
    f = sigmoid(p.W_f @ x + p.b_f)
    i = sigmoid(p.W_i @ x + p.b_i)
    n = p.W_h @ x + p.b_h
    h = f / (f + i) * h + i / (f + i) * n
    return h
