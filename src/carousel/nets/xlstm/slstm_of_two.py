"""The sLSTM as its block in xLSTM has it: `carousel.cells.slstm` with two inputs.

The input and forget gates read u, which is x after the convolution; candidate and output gate read x. The matrices that
multiply them are block-diagonal too: each head reads its own part of the features. What follows the four sums is as
there, and is written out so that `record=` finds its names; both are compared with the authors' package.
"""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

import math

from carousel.cells.slstm import HEADS, log_forget
from carousel.graph import cell, exp, maximum, per_step, sigmoid, stop_gradient, tanh


@cell(initial={"m": -math.inf})
def slstm_of_two(x, h, c, n, m, p, *, u=per_step("input_size"), heads=HEADS):
    """The sLSTM within its block (Beck et al., 2024)."""
    z = tanh(p.W_z.blocks(heads) @ x + p.R_z.blocks(heads) @ h + p.b_z)
    i = p.W_i.blocks(heads) @ u + p.R_i.blocks(heads) @ h + p.b_i
    f = p.W_f.blocks(heads) @ u + p.R_f.blocks(heads) @ h + p.b_f
    o = sigmoid(p.W_o.blocks(heads) @ x + p.R_o.blocks(heads) @ h + p.b_o)
    kept = log_forget(f) + m
    m = stop_gradient(maximum(kept, i))
    i = exp(i - m)
    f = exp(kept - m)
    c = f * c + i * z
    n = f * n + i
    h = o * c / n
    return h, c, n, m
