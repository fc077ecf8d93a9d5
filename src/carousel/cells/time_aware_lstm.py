"""The LSTM whose short-term memory fades with the time since the step before.

Baytas et al., "Patient subtyping via time-aware LSTM networks", KDD 2017, doi:10.1145/3097983.3097997.

    s_t = tanh(W_d c_{t-1} + b_d)
    a_t = (c_{t-1} - s_t) + g(dt_t) * s_t
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    n_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * a_t + i_t * n_t
    h_t = o_t * tanh(c_t)

s is the short-term part of the memory, a the memory after time has passed; dt_t, given at every step, is the time
between steps t - 1 and t, at least 0. For g the paper has 1 / log(e + dt), the default, for long gaps, and 1 / dt for
short ones: `time_aware_lstm.with_(g=reciprocal)`, where reciprocal is imported from this file; any other function that
does not increase will do. Where dt is 0, or W_d and b_d are, it is the plain LSTM.
Known for: patients' records, whose visits lie days or years apart.
Deviates from the paper: `reciprocal` is 1 up to a gap of one unit, where 1 / dt would grow beyond every bound. (Some
versions of the authors' code have the logistic function in place of the tanh of s_t; here it is the paper's tanh.)
Oracle: torch.nn.LSTMCell, in a loop that hands it the memory after time has passed, which is written anew; and
torch.nn.LSTM itself where dt, or W_d and b_d, are 0.
"""

from math import e

from carousel.graph import cell, log, maximum, sigmoid, tanh


def logarithmic(dt):
    """1 / log(e + dt): what is left of the short-term memory after long gaps."""
    return 1 / log(e + dt)


def reciprocal(dt):
    """1 / dt, and 1 for gaps below one unit: what is left of the short-term memory after short gaps."""
    return 1 / maximum(dt, 1.0)


@cell
def time_aware_lstm(x, h, c, p, *, dt, g=logarithmic):
    """Time-aware LSTM (Baytas et al., 2017)."""
    s = tanh(p.W_d @ c + p.b_d)
    a = (c - s) + g(dt) * s
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    n = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * a + i * n
    h = o * tanh(c)
    return h, c
