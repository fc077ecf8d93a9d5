"""The network of rectified units that starts as the identity, and so remembers before it has learned.

Le, Jaitly & Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015, arXiv:1504.00941.

    h_t = relu(W x_t + U h_{t-1} + b)

U starts as the identity, b at 0 and W normally with a standard deviation of 0.001.
Known for: holding what it has seen over hundreds of steps without a gate; adding two numbers far apart, and images read
pixel by pixel.
Deviates from the paper: nothing.
Oracle: torch.nn.RNN with relu, whose two biases add up to b.
"""

from functools import partial

from torch.nn.init import eye_, normal_

from carousel.graph import cell, relu


@cell(init={"U": eye_, "W": partial(normal_, std=0.001), "b": 0.0})
def irnn(x, h, p):
    """Rectified units that start as the identity (Le, Jaitly & Hinton, 2015)."""
    h = relu(p.W @ x + p.U @ h + p.b)
    return h
