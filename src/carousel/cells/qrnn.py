"""The recurrent pooling of the quasi-recurrent network, which mixes what convolutions over time have made.

Bradbury, Merity, Xiong & Socher, "Quasi-recurrent neural networks", ICLR 2017, arXiv:1611.01576.

    z_t = tanh(W_z x_t + b_z)
    f_t = sigmoid(W_f x_t + b_f)
    o_t = sigmoid(W_o x_t + b_o)
    c_t = f_t * c_{t-1} + (1 - f_t) * z_t
    h_t = o_t * c_t

This is fo-pooling. `qrnn.with_(pooling="f")` returns c_t itself; `qrnn.with_(pooling="ifo")` has its own input gate
in place of 1 - f_t. h_t is an output that does not recur. A filter k steps wide is a convolution over time before the
loop: x_t then stands for the inputs of the last k steps, one below the other.
Known for: speed like a convolution's at the accuracy of an LSTM, in language modelling and speech synthesis.
Deviates from the paper: the window is one step wide, and there are biases, which the paper does not write.
Oracle: torch.nn.GRU without recurrent matrices, which gives c; o_t, which no state touches, stands beside it.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def qrnn(x, c, p, *, pooling="fo"):
    """Pooling of the quasi-recurrent network (Bradbury, Merity, Xiong & Socher, 2017)."""
    if pooling not in ("f", "fo", "ifo"):
        raise ValueError(f'qrnn: pooling is {pooling!r}, expected "f", "fo" or "ifo".')
    z = tanh(p.W_z @ x + p.b_z)
    f = sigmoid(p.W_f @ x + p.b_f)
    i = sigmoid(p.W_i @ x + p.b_i) if pooling == "ifo" else 1 - f
    c = f * c + i * z
    if pooling == "f":
        return c
    h = sigmoid(p.W_o @ x + p.b_o) * c
    return h, c
