"""The leaky-integrator network: a plain network in continuous time, one step at a time.

Jaeger, Lukosevicius, Popovici & Siewert, "Optimization and applications of echo state networks with leaky-integrator
neurons", Neural Networks 20(3), 2007, doi:10.1016/j.neunet.2007.04.016.

    h_t = (1 - alpha) * h_{t-1} + alpha * f(W x_t + U h_{t-1} + b)

One step of size alpha of h' = -h + f(W x + U h + b), in units of the neurons' time constant.
Known for: reservoirs, and models of what populations of neurons do.
Deviates from the paper: all weights are learned, where its reservoir is drawn once and kept (`requires_grad_(False)`);
its leaking rate and its gain are one number, alpha, 0.2 here; there is a bias, and no feedback from an output layer.
Oracle: torchrecurrent's FastRNNCell, whose two scalars are the logits of alpha and of 1 - alpha; with alpha 1,
torch.nn.RNN.
"""

from carousel.graph import cell, tanh


@cell
def leaky_rnn(x, h, p, *, alpha=0.2, f=tanh):
    """Leaky-integrator network (Jaeger et al., 2007)."""
    h = (1 - alpha) * h + alpha * f(p.W @ x + p.U @ h + p.b)
    return h
