"""The minimal GRU whose gate and candidate do not see the state, so that training needs no loop over time.

Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024, arXiv:2410.01201.

    z_t = sigmoid(W_z x_t + b_z)
    n_t = W_h x_t + b_h
    h_t = (1 - z_t) * h_{t-1} + z_t * n_t

Known for: showing that a GRU stripped of its recurrent matrices keeps up with recent sequence models.
Deviates from the paper: nothing; the form in logarithms, whose n_t is kept positive for the parallel scan, is not here.
Oracle: torchrecurrent's TRNNCell, with -W_z and -b_z in its gate, which keeps where this one lets in.
"""

from carousel.graph import cell, sigmoid


@cell
def min_gru(x, h, p):
    """Minimal GRU without recurrent matrices (Feng et al., 2024)."""
    z = sigmoid(p.W_z @ x + p.b_z)
    n = p.W_h @ x + p.b_h
    h = (1 - z) * h + z * n
    return h
