"""The LSTM with exponential gates, a normaliser, and heads: the scalar memory of xLSTM.

Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517.

    z_t  = tanh(W_z x_t + R_z h_{t-1} + b_z)
    i~_t = W_i x_t + R_i h_{t-1} + b_i
    f~_t = W_f x_t + R_f h_{t-1} + b_f
    o_t  = sigmoid(W_o x_t + R_o h_{t-1} + b_o)
    m_t  = max(log f(f~_t) + m_{t-1}, i~_t)
    i_t  = exp(i~_t - m_t)
    f_t  = exp(log f(f~_t) + m_{t-1} - m_t)
    c_t  = f_t * c_{t-1} + i_t * z_t
    n_t  = f_t * n_{t-1} + i_t
    h_t  = o_t * c_t / n_t

f is sigmoid, or exp with `slstm.with_(forget="exp")`. n counts what the gates have let in, m keeps their exponents
small: i and f here are the paper's stabilised ones, and c and n stand for exp(m) times as much. m starts from minus
infinity, as nothing has been let in, so that the first step sets it. R is block-diagonal: units see the units of their
own head.
Known for: solving by one state what Transformers and state-space models cannot, such as parity; one half of xLSTM.
Deviates from the paper: no gradient flows through m. The paper shows that m changes neither h nor its derivatives, so
those of h are the same; those of c, n and m as such are for an m that is given. Parameters start as in the authors'
package: W from a normal distribution of variance 2 / (5 input_size), R and biases at 0, b_f falling from 5 to -7 along
each of four heads. W is full, where that package has one block a head.
Oracle: the authors' package xlstm, whose sLSTMCell takes W x for its input and gates in the order i, f, z, o; gradients
flow through its m, so its last c and n are compared as multiples of exp(m). (Its sLSTMLayer has the names of the
projections that make i and f the wrong way round.)
"""

import math

import torch

from carousel.graph import cell, exp, maximum, sigmoid, softplus, stop_gradient, tanh

HEADS = 4


def small(W):
    """A normal distribution of variance 2 / (5 columns)."""
    return torch.nn.init.normal_(W, std=math.sqrt(2 / (5 * W.shape[-1])))


def power_law(b_f, heads=HEADS, exponent=0.3):
    """5 - 12 u ** exponent, with u from 0 to 1 along each head: units that remember long, and others that forget."""
    unit, width = torch.arange(len(b_f)), max(len(b_f) // heads, 2)
    return b_f.copy_(5 - 12 * (unit % width / (width - 1)) ** exponent)


def log_forget(a, forget="sigmoid"):
    """The logarithm of the forget gate, as exact for gates that are nearly 0."""
    if forget not in ("sigmoid", "exp"):
        raise ValueError(f'slstm: forget is {forget!r}, expected "sigmoid" or "exp".')
    return -softplus(-a) if forget == "sigmoid" else a


@cell(initial={"m": -math.inf}, init={"W_*": small, "R_*": 0.0, "b_*": 0.0, "b_f": power_law})
def slstm(x, h, c, n, m, p, *, forget="sigmoid", heads=HEADS):
    """Scalar memory of xLSTM (Beck et al., 2024)."""
    z = tanh(p.W_z @ x + p.R_z.blocks(heads) @ h + p.b_z)
    i = p.W_i @ x + p.R_i.blocks(heads) @ h + p.b_i
    f = p.W_f @ x + p.R_f.blocks(heads) @ h + p.b_f
    o = sigmoid(p.W_o @ x + p.R_o.blocks(heads) @ h + p.b_o)
    kept = log_forget(f, forget) + m
    m = stop_gradient(maximum(kept, i))
    i = exp(i - m)
    f = exp(kept - m)
    c = f * c + i * z
    n = f * n + i
    h = o * c / n
    return h, c, n, m
