"""The real-gated linear recurrent unit: each unit decays at a rate that the input sets, and no state sees another.

De et al., "Griffin: mixing gated linear recurrences with local attention for efficient language models", 2024,
arXiv:2402.19427.

    v_t = W x_t
    r_t = sigmoid(W_a v_t + b_a)
    i_t = sigmoid(W_i v_t + b_i)
    a_t = sigmoid(Lambda) ** (c r_t)
    h_t = a_t * h_{t-1} + sqrt(1 - a_t ** 2) * (i_t * v_t)

c is 8. Lambda starts so that sigmoid(Lambda) ** c is uniform from 0.9 to 0.999. v_t is what the paper calls x_t, the
output of the layers below, as wide as h.
Known for: language models of billions of parameters with a state of fixed size (Hawk, Griffin, RecurrentGemma).
Deviates from the paper: W takes the input to the width of h. (The authors' program lets the first input of a sequence
in without sqrt(1 - a_t ** 2), of which the paper says nothing.)
Oracle: torchrecurrent's TRNNCell, given the logit of a_t and the input so scaled that 1 - a_t brings it to size; a_t
and that input are written anew.
"""

from torch.nn.init import uniform_

from carousel.graph import cell, exp, sigmoid, softplus, sqrt


def slow(parameter):
    """Lambda of which sigmoid(Lambda) ** 8 is uniform from 0.9 to 0.999."""
    return uniform_(parameter, 0.9, 0.999).pow_(1 / 8).logit_()


@cell(init={"Lambda": slow})
def rg_lru(x, h, p, *, c=8.0):
    """Real-gated linear recurrent unit (De et al., 2024)."""
    v = p.W @ x
    r = sigmoid(p.W_a @ v + p.b_a)
    i = sigmoid(p.W_i @ v + p.b_i)
    a = exp(-c * softplus(-p.Lambda) * r)
    h = a * h + sqrt(1 - a * a) * (i * v)
    return h
