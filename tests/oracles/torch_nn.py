"""PyTorch's own layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

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


def highway(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A highway layer a step, of two `torch.nn.functional.linear`."""
    (h,), ys = hx, []
    for _ in x:
        T = torch.sigmoid(nn.functional.linear(h, params["W_t"], params["b_t"]))
        h = torch.lerp(h, torch.tanh(nn.functional.linear(h, params["W_h"], params["b_h"])), T)
        ys.append(h)
    return torch.stack(ys), (h,)


def residual(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A residual layer a step, of two `torch.nn.functional.linear`."""
    (h,), ys = hx, []
    for _ in x:
        inner = nn.functional.relu(nn.functional.linear(h, params["W_1"], params["b_1"]))
        h = h + nn.functional.linear(inner, params["W_2"], params["b_2"])
        ys.append(h)
    return torch.stack(ys), (h,)


ORACLES = {
    "elman": elman,
    "lstm": lstm,
    "lstm_np": lstm_np,
    "gru": gru,
    "projected_lstm": lstm,
    "highway": highway,
    "residual": residual,
}
