"""The light GRU, without reset gate and with relu.

Ravanelli, Brakel, Omologo & Bengio, "Light gated recurrent units for speech recognition", IEEE Transactions on Emerging
Topics in Computational Intelligence 2(2), 2018, arXiv:1803.10225.

    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    n_t = relu(W_h x_t + U_h h_{t-1} + b_h)
    h_t = z_t * h_{t-1} + (1 - z_t) * n_t

Known for: speech recognition, in training time a third below the GRU's.
Deviates from the paper: W_z x_t and W_h x_t are not batch-normalised, and biases stand where the normalisation's shifts
would; relu then has no bound on its growth but the weights.
Oracle: torchrecurrent's LiGRUCell, whose two biases add up to b.
"""

from carousel.graph import cell, relu, sigmoid


@cell
def li_gru(x, h, p):
    """Light GRU (Ravanelli, Brakel, Omologo & Bengio, 2018), without batch normalisation."""
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = relu(p.W_h @ x + p.U_h @ h + p.b_h)
    h = z * h + (1 - z) * n
    return h
