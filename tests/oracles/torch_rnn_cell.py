"""Steps of PyTorch's RNNCell, within cells that do more than that with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear

from oracles.common import Found, Parameters

Activation = Callable[[Tensor], Tensor]


def plain_step(W: Tensor, U: Tensor, b: Tensor, x_t: Tensor, h: Tensor, nonlinearity: str = "tanh") -> Tensor:
    """tanh(W x + U h + b)."""
    cell = nn.RNNCell(x_t.shape[-1], h.shape[-1], nonlinearity=nonlinearity, dtype=x_t.dtype)
    weights = {"weight_ih": W, "weight_hh": U, "bias_ih": b, "bias_hh": torch.zeros_like(b)}
    return functional_call(cell, weights, (x_t, h))


def between(M: Tensor, beta: float, gamma: float) -> Tensor:
    """The symmetric and the antisymmetric part of 2 M, weighed, and damped."""
    symmetric, antisymmetric = M + M.T, M - M.T
    return symmetric.lerp(antisymmetric, beta) - gamma * torch.eye(len(M), dtype=M.dtype)


def lipschitz_rnn(
    params: Parameters,
    x: Tensor,
    hx: Sequence[Tensor],
    eps: float = 0.01,
    beta: float = 0.8,
    gamma: float = 0.01,
) -> Found:
    """A step of Euler's method."""
    A, W = (between(params[name], beta, gamma) for name in ("M_A", "M_W"))
    (h,), outputs = hx, []
    for x_t in x:
        h = h + eps * (linear(h, A) + plain_step(params["U"], W, params["b"], x_t, h))
        outputs.append(h)
    return torch.stack(outputs), (h,)


def triangular(params: Parameters, modules: int) -> Tensor:
    """U_1 to U_g, each on its own and the slower modules, as one matrix."""
    blocks = [params[f"U_{k}"] for k in range(1, modules + 1)]
    width = blocks[0].shape[1]
    return torch.cat([nn.functional.pad(block, (width - block.shape[1], 0)) for block in blocks])


def clockwork_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], periods: Sequence[int] = (1, 2, 4, 8)) -> Found:
    """All units of a plain net at every step, of which those are taken whose period divides it."""
    U = triangular(params, len(periods))
    W, b = (torch.cat([params[f"{letter}_{k + 1}"] for k in range(len(periods))]) for letter in "Wb")
    (h,), outputs = hx, []
    for t, x_t in enumerate(x):
        ticks = torch.tensor([t % period == 0 for period in periods]).repeat_interleave(len(b) // len(periods))
        h = torch.where(ticks, plain_step(W, U, b, x_t, h), h)
        outputs.append(h)
    return torch.stack(outputs), (h,)


def multiplicative_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    (h,), outputs = hx, []
    for x_t in x:
        m = linear(x_t, params["W_m"]) * linear(h, params["U_m"])
        h = plain_step(params["W_h"], params["U_h"], params["b_h"], x_t, m)
        outputs.append(h)
    return torch.stack(outputs), (h,)


def identity(value: Tensor) -> Tensor:
    return value


def jordan(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], *, f: str = "tanh", out: Activation = identity, mu: float = 0.5
) -> Found:
    """A step of torch.nn.RNNCell, on (x, s) and without its own recurrence, makes h; s sees y only."""
    H = len(params["b"])
    WU, none = torch.cat([params["W"], params["U"]], 1), x.new_zeros(H, H)
    (s,), outputs = hx, []
    for x_t in x:
        h = plain_step(WU, none, params["b"], torch.cat([x_t, s], -1), x.new_zeros(len(s), H), f)
        outputs.append(out(linear(h, params["V"], params["b_y"])))
        s = torch.add(outputs[-1], s, alpha=mu)
    return torch.stack(outputs), (s,)


ORACLES = {
    "jordan": jordan,
    "multiplicative_rnn": multiplicative_rnn,
    "clockwork_rnn": clockwork_rnn,
    "lipschitz_rnn": lipschitz_rnn,
}
