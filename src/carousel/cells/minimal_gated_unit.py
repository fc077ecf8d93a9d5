"""The minimal gated unit, in which one gate forgets, resets and lets in.

Zhou, Wu, Zhang & Zhou, "Minimal gated unit for recurrent neural networks", International Journal of Automation and
Computing 13(3), 2016, arXiv:1603.09420.

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    n_t = tanh(W_h x_t + U_h (f_t * h_{t-1}) + b_h)
    h_t = (1 - f_t) * h_{t-1} + f_t * n_t

Known for: doing with one gate, and two thirds of the GRU's parameters, nearly what the GRU does.
Deviates from the paper: nothing.
Oracle: torchrecurrent's MGUCell, whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def minimal_gated_unit(x, h, p):
    """Minimal gated unit (Zhou, Wu, Zhang & Zhou, 2016)."""
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    n = tanh(p.W_h @ x + p.U_h @ (f * h) + p.b_h)
    h = (1 - f) * h + f * n
    return h
