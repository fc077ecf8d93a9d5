"""Steps of PyTorch's LSTMCell on the sums of its gates, which are made before it: what it adds is the LSTM's update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm, linear

from oracles.common import Found, Parameters, stacked
from oracles.torch_lstm_cell import lstm_step

OPEN = 800.0  # the sigmoid of it is 1 in float64, that of its opposite 0


def update(c: Tensor, i: Tensor, f: Tensor, g: Tensor, o: Tensor) -> tuple[Tensor, Tensor]:
    """h and c from the sums of the gates and from c, all (B, H)."""
    sums = torch.cat([i, f, g, o], -1)
    module = nn.LSTMCell(sums.shape[-1], c.shape[-1], bias=False, dtype=c.dtype)
    weights = {
        "weight_ih": torch.eye(sums.shape[-1], dtype=c.dtype),
        "weight_hh": sums.new_zeros(len(sums[0]), len(c[0])),
    }
    h, c = functional_call(module, weights, (sums, (torch.zeros_like(c), c)))
    return h, c


def added(c: Tensor, i: Tensor, g: Tensor) -> Tensor:
    """sigmoid(i) * tanh(g)."""
    return update(torch.zeros_like(c), i, i, g, i)[1]


def kept(c: Tensor, f: Tensor) -> Tensor:
    """sigmoid(f) * c."""
    return update(c, torch.full_like(c, -OPEN), f, f, f)[1]


def shown(c: Tensor, o: Tensor) -> Tensor:
    """sigmoid(o) * tanh(c)."""
    return update(c, torch.full_like(c, -OPEN), torch.full_like(c, OPEN), o, o)[0]


def mdlstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """i * g and each f_d * c_d on their own, and h from their sum."""
    (h, c), ys = hx, []
    axes, H = sum(name.startswith("W_f") for name in params), len(params["b_i"])
    for x_t in x:
        of_x = {
            k: linear(x_t, params[f"W_{k}"], params[f"b_{k}"]) for k in (name[2:] for name in params if name[0] == "W")
        }
        sums = {k: value + linear(h, params[f"U_{k}"]) for k, value in of_x.items()}
        s = added(c[:, :H], sums["i"] + (params["V_i"] * c).unflatten(-1, (axes, H)).sum(-2), sums["c"])
        for d, c_d in enumerate(c.split(H, -1)):
            s = s + kept(c_d, sums[f"f{d + 1}"] + params[f"V_f{d + 1}"] * c_d)
        y = shown(s, sums["o"] + params["V_o"] * s)
        h, c = y.repeat(1, axes), s.repeat(1, axes)
        ys.append(y)
    return torch.stack(ys), (h, c)


def layer_norm_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, eps: float = 1e-5) -> Found:
    def normalised(a: Tensor, k: int) -> Tensor:
        return layer_norm(a, a.shape[-1:], params[f"alpha_{k}"], params[f"beta_{k}"], eps)

    (h, c), ys = hx, []
    for x_t in x:
        sums = normalised(linear(h, params["U"]), 1) + normalised(linear(x_t, params["W"]), 2) + params["b"]
        f, i, o, g = sums.chunk(4, -1)
        _, c = update(c, i, f, g, o)
        h = shown(normalised(c, 3), o)
        ys.append(h)
    return torch.stack(ys), (h, c)


def mi_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    W, U, alpha, beta, gamma, b = (stacked(params, name, "ifco") for name in ("W", "U", "alpha", "beta", "gamma", "b"))
    (h, c), ys = hx, []
    for x_t in x:
        of_x, of_h = linear(x_t, W), linear(h, U)
        sums = torch.addcmul(b + beta * of_h + gamma * of_x, alpha * of_x, of_h)
        h, c = update(c, *sums.chunk(4, -1))
        ys.append(h)
    return torch.stack(ys), (h, c)


def highway(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A layer a step: c is h, i is t, and f is 1 - t, since 1 - sigmoid(a) is sigmoid(-a)."""
    (h,), ys = hx, []
    for _ in x:
        t, g = (linear(h, params[f"W_{k}"], params[f"b_{k}"]) for k in "th")
        _, h = update(h, t, -t, g, t)
        ys.append(h)
    return torch.stack(ys), (h,)


def recurrent_highway(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A layer likewise, of which there are several in a step."""
    depth, coupled = sum(name.startswith("b_h") for name in params), "W_c" not in params
    (s,), ys = hx, []
    for x_t in x:
        for layer in range(1, depth + 1):
            sums = {
                k: linear(s, params[f"R_{k}{layer}"], params[f"b_{k}{layer}"]) for k in ("ht" if coupled else "htc")
            }
            if layer == 1:
                sums = {k: value + linear(x_t, params[f"W_{k}"]) for k, value in sums.items()}
            _, s = update(s, sums["t"], -sums["t"] if coupled else sums["c"], sums["h"], sums["t"])
        ys.append(s)
    return torch.stack(ys), (s,)


def nested_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """An LSTM's step from a state f * c on an input i * g, which, as h, are parts of another's."""
    W, U, b = (stacked(params, letter, "ifoc") for letter in "WUb")
    inner, (h, c, cn), ys = lstm_step(params, len(hx[0][0]), "n"), hx, []
    for x_t in x:
        i, f, o, g = (linear(x_t, W, b) + linear(h, U)).chunk(4, -1)
        c, cn = inner(added(c, i, g), (kept(c, f), cn))
        h = shown(c, o)
        ys.append(h)
    return torch.stack(ys), (h, c, cn)


ORACLES = {
    "mdlstm": mdlstm,
    "highway": highway,
    "layer_norm_lstm": layer_norm_lstm,
    "mi_lstm": mi_lstm,
    "nested_lstm": nested_lstm,
    "recurrent_highway": recurrent_highway,
}
