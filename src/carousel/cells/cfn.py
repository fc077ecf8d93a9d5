"""The chaos-free network, whose state goes to rest when the input does.

Laurent & von Brecht, "A recurrent neural network without chaos", ICLR 2017, arXiv:1612.06212.

    theta_t = sigmoid(W_theta x_t + U_theta h_{t-1} + b_theta)
    eta_t = sigmoid(W_eta x_t + U_eta h_{t-1} + b_eta)
    h_t = theta_t * tanh(h_{t-1}) + eta_t * tanh(W x_t)

Known for: showing that a gated network needs no complicated dynamics for language modelling.
Deviates from the paper: nothing.
Oracle: torchrecurrent's CFNCell, with the bias beside W at zero.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def cfn(x, h, p):
    """Chaos-free network (Laurent & von Brecht, 2017)."""
    theta = sigmoid(p.W_theta @ x + p.U_theta @ h + p.b_theta)
    eta = sigmoid(p.W_eta @ x + p.U_eta @ h + p.b_eta)
    h = theta * tanh(h) + eta * tanh(p.W @ x)
    return h
