"""PyTorch's own layers over the whole sequence, in settings too in which they are another cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear, relu

from oracles.common import Found, Parameters, stacked


def run_torch(module: nn.RNNBase, weights: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """One layer of PyTorch's with these weights; biases that are not named are zero."""
    zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters() if name.startswith("bias")}
    states = tuple(h[None] for h in hx)
    given = states if isinstance(module, nn.LSTM) else states[0]
    y, final = functional_call(module, {**zeros, **weights}, (x, given))
    return y, tuple(h[0] for h in (final if isinstance(final, tuple) else (final,)))


def elman(params: Parameters, x: Tensor, hx: Sequence[Tensor], nonlinearity: str = "tanh") -> Found:
    module = nn.RNN(x.shape[-1], hx[0].shape[-1], nonlinearity=nonlinearity, dtype=x.dtype)
    weights = {"weight_ih_l0": params["W"], "weight_hh_l0": params["U"], "bias_ih_l0": params["b"]}
    return run_torch(module, weights, x, hx)


def lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    projected = {"weight_hr_l0": params["W_hr"]} if "W_hr" in params else {}
    h, c = hx
    module = nn.LSTM(x.shape[-1], c.shape[-1], proj_size=h.shape[-1] if projected else 0, dtype=x.dtype)
    letters = {"weight_ih_l0": "W", "weight_hh_l0": "U", "bias_hh_l0": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    return run_torch(module, {**weights, **projected}, x, hx)


def lstm_np(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """The lstm cell's weights, but its c is called z."""
    return lstm({name.replace("_z", "_c"): value for name, value in params.items()}, x, hx)


def gru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    module = nn.GRU(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    b_r, b_z, b_n, b_hn = (params[name] for name in ("b_r", "b_z", "b_n", "b_hn"))
    weights = {
        "weight_ih_l0": stacked(params, "W", "rzn"),
        "weight_hh_l0": stacked(params, "U", "rzn"),
        "bias_ih_l0": torch.cat([b_r, b_z, b_n]),
        "bias_hh_l0": torch.cat([torch.zeros_like(b_r), torch.zeros_like(b_z), b_hn]),
    }
    return run_torch(module, weights, x, hx)


def entity_aware_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, s: Tensor) -> Found:
    """The LSTM on (x, s), whose input gate sees s alone and whose other gates see x and h alone."""
    H, D, S = hx[0].shape[-1], x.shape[-1], s.shape[-1]
    wide = {f"W_{k}": torch.cat([params[f"W_{k}"], x.new_zeros(H, S)], 1) for k in "fco"}
    wide["W_i"] = torch.cat([x.new_zeros(H, D), params["W_i"]], 1)
    return lstm({**params, **wide, "U_i": x.new_zeros(H, H)}, torch.cat([x, s.expand(len(x), *s.shape)], -1), hx)


def qrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is what torch.nn.GRU makes without recurrent matrices; its z is f, and its n is z."""
    none = torch.zeros_like(params["b_f"])
    weights = {"W_r": 0 * params["W_f"], "W_z": params["W_f"], "W_n": params["W_z"]}
    weights |= {f"U_{gate}": x.new_zeros(2 * [len(none)]) for gate in "rzn"}
    weights |= {"b_r": none, "b_z": params["b_f"], "b_n": params["b_z"], "b_hn": none}
    c, final = gru(weights, x, hx)
    return torch.sigmoid(linear(x, params["W_o"], params["b_o"])) * c if "W_o" in params else c, final


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


def residual(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A residual layer a step, of two `torch.nn.functional.linear`."""
    (h,), ys = hx, []
    for _ in x:
        inner = relu(linear(h, params["W_1"], params["b_1"]))
        h = h + linear(inner, params["W_2"], params["b_2"])
        ys.append(h)
    return torch.stack(ys), (h,)


def slim_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """What the gates do not see has weight zero."""
    unseen = {f"{letter}_{gate}": torch.zeros_like(params[f"{letter}_c"]) for letter in "WUb" for gate in "ifo"}
    return lstm({**unseen, **params}, x, hx)


ORACLES = {
    "elman": elman,
    "irnn": partial(elman, nonlinearity="relu"),
    "lstm": lstm,
    "lstm_np": lstm_np,
    "projected_lstm": lstm,
    "slim_lstm": slim_lstm,
    "gru": gru,
    "qrnn": qrnn,
    "lmu": lmu,
    "residual": residual,
}
