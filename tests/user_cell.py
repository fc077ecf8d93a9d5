"""A cell in a file of its own, as a user would write it: tests load it by path and pickle layers of it."""

import carousel as ca


@ca.cell(init={"a": 2.0})
def leaky(x, h, p, *, scale=1.0):
    a = ca.sigmoid(p.a)
    return a * h + (1 - a) * scale * ca.tanh(p.W @ x + p.U @ h)
