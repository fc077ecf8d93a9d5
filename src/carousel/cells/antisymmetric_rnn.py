"""The antisymmetric network, one step of a stable differential equation.

Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural networks", ICLR 2019,
arXiv:1902.09689.

    h_t = h_{t-1} + eps * tanh((W - W^T - gamma I) h_{t-1} + V x_t + b)

The eigenvalues of W - W^T are imaginary: the equation h' = tanh(...) neither grows nor forgets. gamma damps what steps
of finite size eps add.
Known for: trainability by construction in place of gates.
Deviates from the paper: its W_h, V_h and b_h are W, V and b. It searches eps and gamma for each task; here
both are 0.01.
Oracle: torchrecurrent's AntisymmetricRNNCell, whose two biases add up to b.
"""

from carousel.graph import cell, tanh


@cell
def antisymmetric_rnn(x, h, p, *, eps=0.01, gamma=0.01):
    """Antisymmetric RNN (Chang et al., 2019)."""
    h = h + eps * tanh((p.W - p.W.T) @ h - gamma * h + p.V @ x + p.b)
    return h
