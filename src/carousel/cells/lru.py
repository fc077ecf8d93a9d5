"""The linear recurrent unit: a diagonal linear recurrence of complex numbers.

Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De, "Resurrecting recurrent neural networks for long sequences",
ICML 2023, arXiv:2303.06349.

    lambda = exp(-exp(nu) + i exp(theta))
    gamma = exp(g) * sqrt(1 - |lambda|^2)
    s_t = lambda * s_{t-1} + gamma * (B x_t)
    y_t = Re(C s_t) + D * x_t

s is complex and is held as two states, `re` and `im`; B and C likewise are two matrices each. |lambda| < 1 whatever nu
is, so that s never explodes. lambda starts uniform on the unit disc; B, C and D start normal, with variances
1 / (2 input_size), 1 / hidden_size and 1.
Known for: sequences of thousands of steps, between blocks of nonlinear layers, as well as state space models.
Deviates from the paper: it learns the logarithm of gamma, which starts at that of sqrt(1 - |lambda|^2); here that root
follows lambda, and g, which starts at 0, is learned beside it. Start and range are the same.
Oracle: scipy.signal.lfilter, with the complex coefficient lambda for each unit; B, C, D and gamma beside it are written
anew, in complex numbers.
"""

import math
from functools import partial

from torch.nn.init import kaiming_normal_, normal_

from carousel.graph import cell, cos, exp, sin, sqrt


def disc_radius(nu):
    """nu of which exp(-exp(nu)) is the radius of points uniform on the unit disc, in place."""
    return nu.uniform_(1e-6, 1).log_().mul_(-0.5).log_()


def any_angle(theta):
    """theta of which exp(theta) is uniform over the circle, in place."""
    return theta.uniform_(1e-6, 2 * math.pi).log_()


def normal_in_two(matrix):
    """Normal with variance 1 / (2 inputs), in place."""
    return normal_(matrix, std=(2 * matrix.shape[-1]) ** -0.5)


@cell(
    init={
        "nu": disc_radius,
        "theta": any_angle,
        "g": 0.0,
        "B_*": normal_in_two,
        "C_*": partial(kaiming_normal_, nonlinearity="linear"),
        "D": normal_,
    }
)
def lru(x, re, im, p):
    """Linear recurrent unit (Orvieto et al., 2023)."""
    radius, angle = exp(-exp(p.nu)), exp(p.theta)
    a, b = radius * cos(angle), radius * sin(angle)
    gamma = exp(p.g) * sqrt(1 - radius * radius)
    re, im = a * re - b * im + gamma * (p.B_re @ x), b * re + a * im + gamma * (p.B_im @ x)
    y = p.C_re @ re - p.C_im @ im + p.D * x
    return y, re, im
