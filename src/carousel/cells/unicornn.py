"""UnICORNN, a network of undamped oscillators that do not see each other.

Rusch & Mishra, "UnICORNN: a recurrent model for learning very long time dependencies", ICML 2021, arXiv:2103.05487.

    z_t = z_{t-1} - dt * sigmoid(c) * (tanh(w * y_{t-1} + W x_t + b) + alpha * y_{t-1})
    y_t = y_{t-1} + dt * sigmoid(c) * z_t

One symplectic step of a Hamiltonian system; sigmoid(c) is a step of its own for each unit. Units meet in the next layer
only, so that every matrix product is done before the loop. w starts uniform in (0, 1), c in (-0.1, 0.1) and b at 0, as
in the authors' code.
Known for: deep stacks on sequences of many thousands of steps, which it runs at the speed of vector operations.
Deviates from the paper: its V is W. It searches dt and alpha for each task; 0.19 and 30.65 are those of its permuted
sequential MNIST in the authors' code.
Oracle: torchrecurrent's UnICORNNCell, whose weight_hh is w and weight_ch is c.
"""

from functools import partial

from torch.nn.init import uniform_

from carousel.graph import cell, sigmoid, tanh


@cell(init={"w": uniform_, "c": partial(uniform_, a=-0.1, b=0.1), "b": 0.0})
def unicornn(x, y, z, p, *, dt=0.19, alpha=30.65):
    """Undamped independent controlled oscillatory RNN (Rusch & Mishra, 2021)."""
    s = dt * sigmoid(p.c)
    z = z - s * (tanh(p.w * y + p.W @ x + p.b) + alpha * y)
    y = y + s * z
    return y, z
