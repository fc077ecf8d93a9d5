"""Steps of torch.nn.RNNCell and torch.nn.LSTMCell, within cells that do more than that with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from oracles.common import Found, Parameters, stacked


def plain_step(W: Tensor, U: Tensor, b: Tensor, x_t: Tensor, h: Tensor) -> Tensor:
    """tanh(W x + U h + b)."""
    cell = nn.RNNCell(x_t.shape[-1], h.shape[-1], dtype=x_t.dtype)
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
        h = h + eps * (nn.functional.linear(h, A) + plain_step(params["U"], W, params["b"], x_t, h))
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


def highway_layer(params: Parameters, layer: int, x_t: Tensor, s: Tensor) -> Tensor:
    """The new c of torch.nn.LSTMCell with s as h and as c: its i, f and g are t, c and h of the highway."""
    coupled, none = "W_c" not in params, torch.zeros_like(params["b_h1"])

    def rows(letter: str, end: str = "") -> Tensor:
        t, h = params[f"{letter}_t{end}"], params[f"{letter}_h{end}"]
        c = -t if coupled else params[f"{letter}_c{end}"]  # 1 - sigmoid(a) = sigmoid(-a)
        return torch.cat([t, c, h, torch.zeros_like(h)])

    weights = {"weight_hh": rows("R", str(layer)), "bias_hh": rows("b", str(layer)), "bias_ih": none.repeat(4)}
    weights["weight_ih"] = rows("W") if layer == 1 else torch.zeros_like(rows("W"))
    return functional_call(nn.LSTMCell(x_t.shape[-1], s.shape[-1], dtype=s.dtype), weights, (x_t, (s, s)))[1]


def recurrent_highway(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """One LSTM's step for each layer of a step."""
    depth = sum(name.startswith("b_h") for name in params)
    (s,), outputs = hx, []
    for x_t in x:
        for layer in range(1, depth + 1):
            s = highway_layer(params, layer, x_t, s)
        outputs.append(s)
    return torch.stack(outputs), (s,)


def leaky_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], alpha: float = 0.2) -> Found:
    (h,), outputs = hx, []
    for x_t in x:
        h = h.lerp(plain_step(params["W"], params["U"], params["b"], x_t, h), alpha)
        outputs.append(h)
    return torch.stack(outputs), (h,)


def mi_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """The sums of the gates are the input of an LSTM whose weight_ih is the identity."""
    W, U, alpha, beta, gamma, b = (stacked(params, name, "ifco") for name in ("W", "U", "alpha", "beta", "gamma", "b"))
    cell = nn.LSTMCell(len(b), hx[0].shape[-1], dtype=x.dtype)
    zeros = {name: torch.zeros_like(p) for name, p in cell.named_parameters()}
    weights = {**zeros, "weight_ih": torch.eye(len(b), dtype=x.dtype)}
    (h, c), outputs = hx, []
    for x_t in x:
        of_x, of_h = nn.functional.linear(x_t, W), nn.functional.linear(h, U)
        sums = torch.addcmul(b + beta * of_h + gamma * of_x, alpha * of_x, of_h)
        h, c = functional_call(cell, weights, (sums, (h, c)))
        outputs.append(h)
    return torch.stack(outputs), (h, c)


ORACLES = {
    "clockwork_rnn": clockwork_rnn,
    "leaky_rnn": leaky_rnn,
    "lipschitz_rnn": lipschitz_rnn,
    "mi_lstm": mi_lstm,
    "recurrent_highway": recurrent_highway,
}
