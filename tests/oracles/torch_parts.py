"""PyTorch's own layers for the part of a cell that they have; what is left of it is elementwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from oracles import torch_nn
from oracles.common import Found, Parameters, stacked


def qrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is what torch.nn.GRU makes without recurrent matrices; its z is f, and its n is z."""
    none = torch.zeros_like(params["b_f"])
    weights = {"W_r": 0 * params["W_f"], "W_z": params["W_f"], "W_n": params["W_z"]}
    weights |= {f"U_{gate}": x.new_zeros(2 * [len(none)]) for gate in "rzn"}
    weights |= {"b_r": none, "b_z": params["b_f"], "b_n": params["b_z"], "b_hn": none}
    c, final = torch_nn.gru(weights, x, hx)
    return torch.sigmoid(linear(x, params["W_o"], params["b_o"])) * c if "W_o" in params else c, final


def phased_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, time: Tensor) -> Found:
    """Each step proposed by torch.nn.LSTMCell, and taken as far as a triangle over the period is open."""
    lstm = torch.nn.LSTMCell(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    weights["bias_hh"] = torch.zeros_like(weights["bias_ih"])
    tau, r_on = params["log_tau"].exp(), params["r_on"].abs()
    outputs, states = [], tuple(hx)
    for x_t, now in zip(x, time, strict=True):
        phi = torch.remainder(now - params["s"], tau) / tau
        k = relu(1 - (2 * phi / r_on - 1).abs()) + 0.001 * phi * (phi >= r_on)
        proposed = torch.func.functional_call(lstm, weights, (x_t, states))
        states = tuple(torch.lerp(old, new, k) for old, new in zip(states, proposed, strict=True))
        outputs.append(states[0])
    return torch.stack(outputs), states


ORACLES = {"phased_lstm": phased_lstm, "qrnn": qrnn}
