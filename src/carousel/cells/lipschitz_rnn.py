"""The Lipschitz network: a linear part and a nonlinear one, each between symmetric and antisymmetric.

Erichson, Azencot, Queiruga, Hodgkinson & Mahoney, "Lipschitz recurrent neural networks", ICLR 2021, arXiv:2006.12070.

    A = (1 - beta) (M_A + M_A^T) + beta (M_A - M_A^T) - gamma I
    W = (1 - beta) (M_W + M_W^T) + beta (M_W - M_W^T) - gamma I
    h_t = h_{t-1} + eps * (A h_{t-1} + tanh(W h_{t-1} + U x_t + b))

One step of size eps of h' = A h + tanh(W h + U x + b). beta = 1 leaves antisymmetric matrices, beta = 0.5 any.
M_A and M_W start normal with deviation 1/H, and eps, beta and gamma are 0.01, 0.8 and 0.01, as in the authors' code.
Known for: conditions under which the continuous net is globally stable; robustness to perturbed inputs and weights.
Deviates from the paper: A and W share one beta and one gamma, as in the authors' code, whose defaults the three numbers
are; it searches them for each task.
Oracle: torch.nn.RNNCell, which makes tanh(...), beside A h, which is written anew; where beta is 1 and M_A and gamma
are 0, torchrecurrent's AntisymmetricRNNCell.
"""

import torch

from carousel.graph import cell, tanh


def small_normal(matrix):
    """Normal with deviation 1/H, in place."""
    return torch.nn.init.normal_(matrix, std=1 / matrix.shape[-1])


@cell(init={"M_*": small_normal, "b": 0.0})
def lipschitz_rnn(x, h, p, *, eps=0.01, beta=0.8, gamma=0.01):
    """Lipschitz RNN (Erichson et al., 2021)."""
    A = (1 - beta) * (p.M_A + p.M_A.T) + beta * (p.M_A - p.M_A.T)
    W = (1 - beta) * (p.M_W + p.M_W.T) + beta * (p.M_W - p.M_W.T)
    linear = A @ h - gamma * h
    h = h + eps * (linear + tanh(W @ h - gamma * h + p.U @ x + p.b))
    return h
