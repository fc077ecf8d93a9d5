"""The addition-subtraction twin-gated network, whose two gates are one sum and one difference.

Zhang, Xiong, Su, Lin & Zhang, "Simplifying neural machine translation with addition-subtraction twin-gated recurrent
networks", EMNLP 2018, arXiv:1810.12546.

    p_t = W x_t
    q_t = U h_{t-1}
    i_t = sigmoid(p_t + q_t)
    f_t = sigmoid(p_t - q_t)
    h_t = i_t * p_t + f_t * h_{t-1}

In the function, p_t is v, since p holds the parameters.
Known for: two matrices, the fewest of any gated cell of its time, for machine translation.
Deviates from the paper: nothing.
Oracle: torchrecurrent's ATRCell, with its biases at zero.
"""

from carousel.graph import cell, sigmoid


@cell
def atr(x, h, p):
    """Addition-subtraction twin-gated network (Zhang, Xiong, Su, Lin & Zhang, 2018)."""
    v = p.W @ x
    q = p.U @ h
    i = sigmoid(v + q)
    f = sigmoid(v - q)
    h = i * v + f * h
    return h
