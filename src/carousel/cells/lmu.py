"""The Legendre memory unit: a linear memory that holds a window of time, and a nonlinear state that uses it.

Voelker, Kajic & Eliasmith, "Legendre memory units: Continuous-time representation in recurrent neural networks",
NeurIPS 2019, https://papers.nips.cc/paper/2019/hash/952285b9b7e7a1be5aa7849f32ffff05-Abstract.html.

    u_t = e_x x_t + e_h h_{t-1} + e_m m_{t-1}
    m_t = A m_{t-1} + B u_t
    h_t = tanh(W_x x_t + W_h h_{t-1} + W_m m_t)

m, memory_size wide, approximates the last theta steps of the single number u by Legendre polynomials: u, r theta steps
ago, is the sum over k of P_k(2 r - 1) m_k, for r from 0 to 1. A and B start as the exact discretisation, for steps of
one and u held in between, of theta dm/dt = A_c m + B_c u, where (i, j from 0)

    A_c[i, j] = (2 i + 1) * (-1 if i < j else (-1)^(i - j + 1))
    B_c[i]    = (2 i + 1) * (-1)^i

theta is 100; `Recurrent(lmu, ..., init=window(784))` gives another, with window imported from this file.
Known for: long windows in few numbers: permuted images pixel by pixel, and 100,000 steps of delay.
Deviates from the paper: A and B, which it keeps as they are, are learned with the rest; to keep them, call
requires_grad_(False) on the layer's A_l0 and B_l0. Encoders and kernels start as in the authors' code.
Oracle: torch.nn.RNN, on h and m at once with m made 10^7 times smaller so that its tanh lets it through unchanged; A
and B against scipy.signal.cont2discrete.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.init import kaiming_uniform_, xavier_normal_

from carousel.graph import cell, tanh


def legendre(size: int, theta: float) -> tuple[Tensor, Tensor]:
    """A (size, size) and B (size,) of a memory that holds the last theta steps.

    >>> A, B = legendre(1, theta=100.0)  # an average that forgets at the rate 1 / theta
    >>> A + B.view(1, 1)
    tensor([[1.]], dtype=torch.float64)
    """
    k = torch.arange(size, dtype=torch.float64)
    rows, columns = k[:, None], k[None, :]
    of_m = (2 * rows + 1) * torch.where(rows < columns, -1.0, (-1.0) ** (rows - columns + 1))
    of_u = (2 * k + 1) * (-1.0) ** k
    system = torch.zeros(size + 1, size + 1, dtype=torch.float64)
    system[:size, :size], system[:size, size] = of_m / theta, of_u / theta
    step = torch.linalg.matrix_exp(system)
    return step[:size, :size], step[:size, size]


def _start_A(A: Tensor, theta: float) -> Tensor:
    return A.copy_(legendre(len(A), theta)[0])


def _start_B(B: Tensor, theta: float) -> Tensor:
    return B.copy_(legendre(len(B), theta)[1][:, None])


def window(theta: float) -> dict[str, partial]:
    """The starts of A and B for a memory of the last theta steps.

    >>> sorted(window(784.0))
    ['A', 'B']
    """
    return {"A": partial(_start_A, theta=theta), "B": partial(_start_B, theta=theta)}


@cell(
    widths={"u": 1, "h": "hidden_size", "m": "memory_size"},
    init={
        **window(100.0),
        "e_m": 0.0,
        "e_*": partial(kaiming_uniform_, nonlinearity="linear"),
        "W_*": xavier_normal_,
    },
)
def lmu(x, h, m, p):
    """Legendre memory unit (Voelker, Kajic & Eliasmith, 2019)."""
    u = p.e_x @ x + p.e_h @ h + p.e_m @ m
    m = p.A @ m + p.B @ u
    h = tanh(p.W_x @ x + p.W_h @ h + p.W_m @ m)
    return h, m
