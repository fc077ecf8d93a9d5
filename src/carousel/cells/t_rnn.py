"""The strongly typed simple network: a moving average of the input, at a rate that the input sets.

Balduzzi & Ghifary, "Strongly-typed recurrent neural networks", ICML 2016, arXiv:1602.02218.

    z_t = W x_t
    f_t = sigmoid(V x_t + b)
    h_t = f_t * h_{t-1} + (1 - f_t) * z_t

Known for: a recurrence without a recurrent matrix, years before the gated linear recurrences of today.
Deviates from the paper: nothing.
Oracle: torchrecurrent's TRNNCell, with the bias of z at zero.
"""

from carousel.graph import cell, sigmoid


@cell
def t_rnn(x, h, p):
    """Strongly typed recurrent network (Balduzzi & Ghifary, 2016)."""
    z = p.W @ x
    f = sigmoid(p.V @ x + p.b)
    h = f * h + (1 - f) * z
    return h
