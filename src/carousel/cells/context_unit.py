"""The context unit, which decays at a rate that it learns.

Mozer, "A focused backpropagation algorithm for temporal pattern recognition", Complex Systems 3(4), 1989,
https://www.complex-systems.com/abstracts/v03_i04_a04/.

    c_t = d * c_{t-1} + f(W x_t + b)

No unit sees another. With d = 1 this is the error carousel of the LSTM, without its gates.
Known for: gradients through time that are exact and local, ten years before the forget gate: the trace of each weight
is a recursion as simple as that of c.
Deviates from the paper: c after x_t is called c_t, where the paper calls it c(t+1); f is tanh, or another function with
`context_unit.with_(f=sigmoid)`; d starts uniform in 0 to 1, on which we do not know the paper's word.
Oracle: scipy.signal.lfilter, the recursive filter 1 / (1 - d z^-1) of each unit.
"""

import torch

from carousel.graph import cell, tanh


@cell(init={"d": torch.nn.init.uniform_})
def context_unit(x, c, p, *, f=tanh):
    """Context unit with a learned decay (Mozer, 1989)."""
    c = p.d * c + f(p.W @ x + p.b)
    return c
