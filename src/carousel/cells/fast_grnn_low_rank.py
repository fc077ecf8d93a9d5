"""FastGRNN with matrices of low rank.

Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
recurrent neural network", NeurIPS 2018, arXiv:1901.02358.

    W = W_1 W_2
    U = U_1 U_2
    z_t = sigmoid(W x_t + U h_{t-1} + b_z)
    g_t = tanh(W x_t + U h_{t-1} + b_h)
    h_t = (sigmoid(zeta) * (1 - z_t) + sigmoid(nu)) * g_t + z_t * h_{t-1}

The ranks are the sizes `input_rank` and `hidden_rank`; the products W and U are never formed. Scalars and biases start
as in `fast_grnn`.
Known for: spotting wake words and recognising activities in models of a few kilobytes.
Deviates from the paper: the second factor stands as it multiplies, where the paper writes it transposed; factors are
dense and not quantised.
Oracle: torchrecurrent's FastGRNNCell, with the products W_1 W_2 and U_1 U_2 as its matrices, and with sigmoid as
nonlinearity of its gate.
"""

from carousel.graph import cell, sigmoid, tanh


@cell(
    widths={"of_x": "input_rank", "of_h": "hidden_rank"},
    shapes={"zeta": (), "nu": ()},
    init={"zeta": 1.0, "nu": -4.0, "b_*": 1.0},
)
def fast_grnn_low_rank(x, h, p):
    """FastGRNN with matrices of low rank (Kusupati et al., 2018)."""
    of_x = p.W_2 @ x
    of_h = p.U_2 @ h
    a = p.W_1 @ of_x + p.U_1 @ of_h
    z = sigmoid(a + p.b_z)
    g = tanh(a + p.b_h)
    h = (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * g + z * h
    return h
