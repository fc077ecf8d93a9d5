"""The independently recurrent network, in which each unit sees of the past only itself.

Li, Li, Cook, Zhu & Gao, "Independently recurrent neural network (IndRNN): building a longer and deeper RNN", CVPR 2018,
arXiv:1803.04831.

    h_t = f(W x_t + u * h_{t-1} + b)

Units meet in the next layer only. With relu and abs(u) up to 2 ** (1 / T), gradients grow at most twofold over T steps.
Known for: sequences of thousands of steps and stacks of twenty layers, with relu.
Deviates from the paper: u starts uniformly from 0 to 1 and is not kept within a bound, which the paper takes from the
length of the sequences.
Oracle: torchrecurrent's IndRNNCell with relu, whose two biases add up to b.
"""

from torch.nn.init import uniform_

from carousel.graph import cell, relu


@cell(init={"u": uniform_})
def indrnn(x, h, p, *, f=relu):
    """Independently recurrent network (Li, Li, Cook, Zhu & Gao, 2018)."""
    h = f(p.W @ x + p.u * h + p.b)
    return h
