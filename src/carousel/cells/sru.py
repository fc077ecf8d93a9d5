"""The simple recurrent unit, in which every matrix product comes before the recurrence.

Lei, Zhang, Wang, Dai & Artzi, "Simple recurrent units for highly parallelizable recurrence", EMNLP 2018,
arXiv:1709.02755v5 (the first version's gates do not see the cell).

    f_t = sigmoid(W_f x_t + v_f * c_{t-1} + b_f)
    c_t = f_t * c_{t-1} + (1 - f_t) * (W x_t)
    r_t = sigmoid(W_r x_t + v_r * c_{t-1} + b_r)
    h_t = r_t * c_t + (1 - r_t) * (W_h x_t)

h_t is an output that does not recur.
Known for: training as fast as a convolution: the loop over time is elementwise.
Deviates from the paper: it has x_t in place of W_h x_t, which asks for as many inputs as units; with fewer or more the
authors' package has W_h too. The constant that scales x_t is left to W_h. Matrices start uniformly with variance
1 / input_size, biases at 0, as in the paper.
Oracle: the authors' package sru, with W, W_f, W_r and W_h one unit after the other in its weight, (v_f, v_r) in its
weight_c and (b_f, b_r) in its bias.
"""

from functools import partial

from torch.nn.init import kaiming_uniform_

from carousel.graph import cell, sigmoid


@cell(init={"W*": partial(kaiming_uniform_, nonlinearity="linear"), "b_*": 0.0})
def sru(x, c, p):
    """Simple recurrent unit (Lei, Zhang, Wang, Dai & Artzi, 2018)."""
    f = sigmoid(p.W_f @ x + p.v_f * c + p.b_f)
    r = sigmoid(p.W_r @ x + p.v_r * c + p.b_r)
    c = f * c + (1 - f) * (p.W @ x)
    h = r * c + (1 - r) * (p.W_h @ x)
    return h, c
