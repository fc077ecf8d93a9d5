"""The phased LSTM, whose units each open at times of their own, by a clock that they learn.

Neil, Pfeiffer & Liu, "Phased LSTM: accelerating recurrent network training for long or event-based sequences",
NIPS 2016, arXiv:1610.09513.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    phi_t = ((time - s) mod tau) / tau
    k_t = 2 phi_t / r_on        where phi_t < r_on / 2
          2 - 2 phi_t / r_on    where phi_t < r_on
          leak phi_t            elsewhere
    d_t = f_t * c_{t-1} + i_t * tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = k_t * d_t + (1 - k_t) * c_{t-1}
    h_t = k_t * (o_t * tanh(d_t)) + (1 - k_t) * h_{t-1}

`time` is given at each step, in any unit: layer(x, time=time), with time (T, B, 1). The leak of 0.001 is for training;
in evaluation the paper closes the gate fully, which is `phased_lstm.with_(leak=0.0)`.
Known for: sequences of thousands of steps, and events at irregular times from sensors that sample at different rates.
Deviates from the paper: no peepholes, which it calls optional. Learned are the period's logarithm, where the authors'
code takes its absolute value, and r_on up to its sign, as there: both stay positive. They start as in their first task:
tau from exp(1) to exp(3), uniform in the logarithm, s uniformly from 0 to 100, r_on at 0.05.
Oracle: torch.nn.LSTMCell for d_t and its output; the time gate beside it is written anew, as a triangle, and at its
peak all is torch.nn.LSTM.
"""

from functools import partial

from torch.nn.init import uniform_

from carousel.graph import abs, cell, exp, floor, sigmoid, tanh, where


@cell(init={"log_tau": partial(uniform_, a=1.0, b=3.0), "s": partial(uniform_, b=100.0), "r_on": 0.05})
def phased_lstm(x, h, c, p, *, time, leak=0.001):
    """Phased LSTM (Neil, Pfeiffer & Liu, 2016)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    turns = (time - p.s) / exp(p.log_tau)
    phi = turns - floor(turns)
    r_on = abs(p.r_on)
    k = where(phi < r_on / 2, 2 * phi / r_on, where(phi < r_on, 2 - 2 * phi / r_on, leak * phi))
    d = f * c + i * tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = k * d + (1 - k) * c
    h = k * (o * tanh(d)) + (1 - k) * h
    return h, c
