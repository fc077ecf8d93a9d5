"""FastGRNN, a gated cell whose gate and candidate share their matrices.

Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
recurrent neural network", NeurIPS 2018, arXiv:1901.02358.

    z_t = sigmoid(W x_t + U h_{t-1} + b_z)
    g_t = tanh(W x_t + U h_{t-1} + b_h)
    h_t = (sigmoid(zeta) * (1 - z_t) + sigmoid(nu)) * g_t + z_t * h_{t-1}

The paper writes the scalars as zeta and nu in (0, 1), which it learns through the sigmoid. They start at sigmoid(1) =
0.73 and sigmoid(-4) = 0.02, biases at 1, as in the authors' library, EdgeML. `fast_grnn_low_rank` has W and U as
products.
Known for: accuracy near that of gated cells with one pair of matrices where the GRU has three, on microcontrollers.
Deviates from the paper: matrices are whole, dense and not quantised.
Oracle: torchrecurrent's FastGRNNCell, with sigmoid as nonlinearity of its gate, which it has as tanh by default against
the paper; its two biases add up to (b_z, b_h).
"""

from carousel.graph import cell, sigmoid, tanh


@cell(shapes={"zeta": (), "nu": ()}, init={"zeta": 1.0, "nu": -4.0, "b_*": 1.0})
def fast_grnn(x, h, p):
    """FastGRNN (Kusupati et al., 2018)."""
    a = p.W @ x + p.U @ h
    z = sigmoid(a + p.b_z)
    g = tanh(a + p.b_h)
    h = (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * g + z * h
    return h
