"""JANET, the LSTM that keeps nothing but its forget gate.

van der Westhuizen & Lasenby, "The unreasonable effectiveness of the forget gate", 2018, arXiv:1804.04849.

    s_t = W_f x_t + U_f h_{t-1} + b_f
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = sigmoid(s_t) * c_{t-1} + (1 - sigmoid(s_t - beta)) * g_t
    h_t = c_t

beta = 1 lets a little more in than is forgotten; `janet.with_(beta=0)` is the plain forget gate. c and h are one state.
The paper starts b_f at the logarithm of numbers drawn from 1 to one less than the longest distance T (chrono start).
Known for: half the LSTM's parameters, and often better accuracy on long sequences such as pixel-by-pixel MNIST.
Deviates from the paper: b_f starts uniformly near 0, since the distance T is the data's; for the paper's start write
`Recurrent(janet, ..., init={"b_f": lambda b: b.uniform_(1, T - 1).log_()})`.
Oracle: torchrecurrent's JANETCell, which learns beta: here it is given, and its two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def janet(x, h, p, *, beta=1.0):
    """Just another network (van der Westhuizen & Lasenby, 2018)."""
    s = p.W_f @ x + p.U_f @ h + p.b_f
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    h = sigmoid(s) * h + (1 - sigmoid(s - beta)) * g
    return h
