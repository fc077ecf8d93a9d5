"""The antisymmetric network with a gate that shares its matrix.

Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural networks", ICLR 2019,
arXiv:1902.09689.

    a_t = (W - W^T - gamma I) h_{t-1}
    z_t = sigmoid(a_t + V_z x_t + b_z)
    h_t = h_{t-1} + eps * z_t * tanh(a_t + V_h x_t + b_h)

The Jacobian of h' stays a product of a diagonal and an antisymmetric matrix (but for gamma), hence as stable.
Known for: long sequences such as pixel-by-pixel MNIST with about a quarter of the LSTM's recurrent parameters.
Deviates from the paper: its W_h is W. It searches eps and gamma for each task; both are 0.01 here.
Oracle: torchrecurrent's GatedAntisymmetricRNNCell, whose weight_ih is (V_z, V_h) one below the other, bias_ih likewise.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def gated_antisymmetric_rnn(x, h, p, *, eps=0.01, gamma=0.01):
    """Antisymmetric RNN with gating (Chang et al., 2019)."""
    a = (p.W - p.W.T) @ h - gamma * h
    z = sigmoid(a + p.V_z @ x + p.b_z)
    h = h + eps * z * tanh(a + p.V_h @ x + p.b_h)
    return h
