"""The gated recurrent unit, with the reset gate before the matrix product.

Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation", EMNLP
2014, arXiv:1406.1078v3.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    n_t = tanh(W_n x_t + U_n (r_t * h_{t-1}) + b_n)
    h_t = z_t * h_{t-1} + (1 - z_t) * n_t

The cell named gru resets after the product, as PyTorch and cuDNN do; weights of one do not serve the other. In Chung et
al., 2014, arXiv:1412.3555, z_t and 1 - z_t change places. As in the paper W starts from a normal distribution of
standard deviation 0.01, U orthogonal.
Known for: the first encoder-decoders that translated; the paper's last version, and long the default of Keras.
Deviates from the paper: it has biases, which the paper leaves out of its equations; they start at 0.
Oracle: ONNX's GRU operator, with linear_before_reset=0: W is (W_z, W_r, W_n) one below the other, R likewise of U, and
the two biases add up to b; in float32 also Keras's GRU with reset_after=False.
"""

from functools import partial

from torch.nn.init import normal_, orthogonal_

from carousel.graph import cell, sigmoid, tanh


@cell(init={"W_*": partial(normal_, std=0.01), "U_*": orthogonal_, "b_*": 0.0})
def gru_reset_before(x, h, p):
    """Gated recurrent unit (Cho et al., 2014), reset before the product as in the paper's third version."""
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = tanh(p.W_n @ x + p.U_n @ (r * h) + p.b_n)
    h = z * h + (1 - z) * n
    return h
