"""PyTorch's LSTM and RNN in settings, or among other layers of PyTorch's, in which they are another cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm, linear

from oracles.common import Found, Parameters, stacked
from oracles.torch_nn import lstm, run_torch

SHUT = -800.0  # the sigmoid of it is 0 in float64, that of its opposite 1


def entity_aware_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, s: Tensor) -> Found:
    """The LSTM on (x, s), whose input gate sees s alone and whose other gates see x and h alone."""
    H, D, S = hx[0].shape[-1], x.shape[-1], s.shape[-1]
    wide = {f"W_{k}": torch.cat([params[f"W_{k}"], x.new_zeros(H, S)], 1) for k in "fco"}
    wide["W_i"] = torch.cat([x.new_zeros(H, D), params["W_i"]], 1)
    return lstm({**params, **wide, "U_i": x.new_zeros(H, H)}, torch.cat([x, s.expand(len(x), *s.shape)], -1), hx)


def logarithmic(dt: Tensor) -> Tensor:
    return torch.log(torch.e + dt).reciprocal()


def time_aware_lstm(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], *, dt: Tensor, g: Callable[[Tensor], Tensor] = logarithmic
) -> Found:
    """LSTMCell, from memories of whose short-term part g(dt) is left."""
    h, c = hx
    cell = nn.LSTMCell(x.shape[-1], h.shape[-1], dtype=x.dtype)
    W, U, b = (stacked(params, letter, "ifco") for letter in "WUb")
    weights = {"weight_ih": W, "weight_hh": U, "bias_ih": b, "bias_hh": torch.zeros_like(b)}
    ys = []
    for x_t, dt_t in zip(x, dt, strict=True):
        short = torch.tanh(linear(c, params["W_d"], params["b_d"]))
        faded = c - short * (1 - g(dt_t))
        h, c = functional_call(cell, weights, (x_t, (h, faded)))
        ys.append(h)
    return torch.stack(ys), (h, c)


def layer_norm_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, eps: float = 1e-5) -> Found:
    h, c = hx
    H = h.shape[-1]
    gates = nn.LSTMCell(4 * H, H, bias=False, dtype=x.dtype)
    as_they_are = {"weight_ih": torch.eye(4 * H, dtype=x.dtype), "weight_hh": x.new_zeros(4 * H, H)}
    shut, open = x.new_full(c.shape, SHUT), x.new_full(c.shape, -SHUT)

    def normalised(a: Tensor, k: int) -> Tensor:
        return layer_norm(a, a.shape[-1:], params[f"alpha_{k}"], params[f"beta_{k}"], eps)

    ys = []
    for x_t in x:
        sums = normalised(linear(h, params["U"]), 1) + normalised(linear(x_t, params["W"]), 2) + params["b"]
        f, i, o, g = sums.chunk(4, -1)
        _, c = functional_call(gates, as_they_are, (torch.cat([i, f, g, o], -1), (h, c)))
        h, _ = functional_call(gates, as_they_are, (torch.cat([shut, open, g, o], -1), (h, normalised(c, 3))))
        ys.append(h)
    return torch.stack(ys), (h, c)


def lmu(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """RNN on (h, m), whose tanh is the identity for an m made small: the equations of u and m put into that of h."""
    h, m = hx
    H, small = h.shape[-1], 1e-7
    A, B = params["A"] + params["B"] @ params["e_m"], params["B"]
    of_x, of_h = B @ params["e_x"], B @ params["e_h"]
    W_x, W_h, W_m = (params[f"W_{k}"] for k in "xhm")
    weights = {
        "weight_ih_l0": torch.cat([W_x + W_m @ of_x, small * of_x]),
        "weight_hh_l0": torch.cat(
            [torch.cat([W_h + W_m @ of_h, W_m @ A / small], 1), torch.cat([small * of_h, A], 1)],
        ),
    }
    module = nn.RNN(x.shape[-1], H + m.shape[-1], dtype=x.dtype)
    y, (final,) = run_torch(module, weights, x, (torch.cat([h, small * m], -1),))
    return y[..., :H], (final[:, :H], final[:, H:] / small)


ORACLES = {
    "lmu": lmu,
    "time_aware_lstm": time_aware_lstm,
    "layer_norm_lstm": layer_norm_lstm,
}
