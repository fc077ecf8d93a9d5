"""MinimalRNN, which maps its input to a latent space and does nothing but remember there.

Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural networks", 2017, arXiv:1711.06788.

    z_t = tanh(W_z x_t + b_z)
    u_t = sigmoid(U_h h_{t-1} + U_z z_t + b_u)
    h_t = u_t * h_{t-1} + (1 - u_t) * z_t

Known for: states that are averages of latent inputs, hence confined to the latent space and easy to read.
Deviates from the paper: nothing; its map of the input, Phi, which is open there, is the fully connected layer with tanh
of its experiments.
Oracle: torchrecurrent's MinimalRNNCell, whose weight_mm is U_z.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def minimal_rnn(x, h, p):
    """MinimalRNN (Chen, 2017)."""
    z = tanh(p.W_z @ x + p.b_z)
    u = sigmoid(p.U_h @ h + p.U_z @ z + p.b_u)
    h = u * h + (1 - u) * z
    return h
