"""PyTorch's own layers for the part of a cell that they have; what is left of it is elementwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import linear, relu

from oracles import torch_nn
from oracles.common import Found, Parameters, stacked

Activation = Callable[[Tensor], Tensor]


def identity(value: Tensor) -> Tensor:
    return value


def qrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is what torch.nn.GRU makes without recurrent matrices; its z is f, and its n is z."""
    if "W_i" in params:
        return qrnn_ifo(params, x, hx)
    none = torch.zeros_like(params["b_f"])
    weights = {"W_r": 0 * params["W_f"], "W_z": params["W_f"], "W_n": params["W_z"]}
    weights |= {f"U_{gate}": x.new_zeros(2 * [len(none)]) for gate in "rzn"}
    weights |= {"b_r": none, "b_z": params["b_f"], "b_n": params["b_z"], "b_hn": none}
    c, final = torch_nn.gru(weights, x, hx)
    return torch.sigmoid(linear(x, params["W_o"], params["b_o"])) * c if "W_o" in params else c, final


def qrnn_ifo(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is what torch.nn.LSTMCell makes without recurrent matrices, of which g is z."""
    named = {name.replace("_z", "_c"): value for name, value in params.items()}
    step = proposals({**named, **{f"U_{k}": x.new_zeros(2 * [len(params["b_f"])]) for k in "ifco"}}, x.shape[-1])
    (c,), cells = hx, []
    for x_t in x:
        _, c = step(x_t, (c, c))
        cells.append(c)
    return torch.sigmoid(linear(x, params["W_o"], params["b_o"])) * torch.stack(cells), (c,)


def proposals(params: Parameters, x_width: int, suffix: str = "") -> Callable[..., tuple[Tensor, ...]]:
    """torch.nn.LSTMCell on W_k, U_k and b_k: (x_t, (h, c)) -> (h, c)."""
    weights = {
        name: torch.cat([params[f"{letter}{suffix}_{k}"] for k in "ifco"])
        for name, letter in {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}.items()
    }
    weights["bias_hh"] = torch.zeros_like(weights["bias_ih"])
    lstm = torch.nn.LSTMCell(x_width, len(weights["bias_ih"]) // 4, dtype=weights["bias_ih"].dtype)
    return lambda x_t, states: functional_call(lstm, weights, (x_t, states))


def phased_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, time: Tensor, leak: float = 0.001) -> Found:
    """Each step proposed by torch.nn.LSTMCell, and taken as far as a triangle over the period is open."""
    step = proposals(params, x.shape[-1])
    tau, r_on = params["log_tau"].exp(), params["r_on"].abs()
    outputs, states = [], tuple(hx)
    for x_t, now in zip(x, time, strict=True):
        phi = torch.remainder(now - params["s"], tau) / tau
        k = relu(1 - (2 * phi / r_on - 1).abs()) + leak * phi * (phi >= r_on)
        proposed = step(x_t, states)
        states = tuple(torch.lerp(old, new, k) for old, new in zip(states, proposed, strict=True))
        outputs.append(states[0])
    return torch.stack(outputs), states


def mogrifier_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    step, (h, c), outputs = proposals(params, x.shape[-1]), hx, []
    rounds = [(name[0], params[name]) for k in range(1, 9) for name in (f"Q_{k}", f"R_{k}") if name in params]
    for x_t in x:
        for letter, matrix in rounds:
            if letter == "Q":
                x_t = x_t * (1 + torch.tanh(linear(h, matrix) / 2))
            else:
                h = h * (1 + torch.tanh(linear(x_t, matrix) / 2))
        h, c = step(x_t, (h, c))
        outputs.append(h)
    return torch.stack(outputs), (h, c)


def nested_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """The inner step is LSTMCell's, from a state f * c; the gates around it are one product."""
    W, U, b = (stacked(params, letter, "ifoc") for letter in "WUb")
    inner, (h, c, cn), outputs = proposals(params, len(hx[0][0]), "n"), hx, []
    for x_t in x:
        i, f, o, g = (linear(x_t, W, b) + linear(h, U)).chunk(4, -1)
        c, cn = inner(i.sigmoid() * g.tanh(), (f.sigmoid() * c, cn))
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs), (h, c, cn)


def multiplicative_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    rnn = torch.nn.RNNCell(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    weights = {"weight_ih": params["W_h"], "weight_hh": params["U_h"], "bias_ih": params["b_h"]}
    weights["bias_hh"] = torch.zeros_like(params["b_h"])
    (h,), outputs = hx, []
    for x_t in x:
        m = linear(x_t, params["W_m"]) * linear(h, params["U_m"])
        h = functional_call(rnn, weights, (x_t, m))
        outputs.append(h)
    return torch.stack(outputs), (h,)


def jordan(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], *, f: str = "tanh", out: Activation = identity, mu: float = 0.5
) -> Found:
    """A step of torch.nn.RNNCell, on (x, s) and without its own recurrence, makes h; s sees y only."""
    H, S = params["U"].shape
    weights = {"weight_ih": torch.cat([params["W"], params["U"]], 1), "bias_ih": params["b"]}
    weights |= {"weight_hh": x.new_zeros(H, H), "bias_hh": x.new_zeros(H)}
    rnn = torch.nn.RNNCell(x.shape[-1] + S, H, nonlinearity=f, dtype=x.dtype)
    (s,), outputs = hx, []
    for x_t in x:
        h = functional_call(rnn, weights, (torch.cat([x_t, s], -1),))
        outputs.append(out(linear(h, params["V"], params["b_y"])))
        s = torch.add(outputs[-1], s, alpha=mu)
    return torch.stack(outputs), (s,)


ORACLES = {
    "jordan": jordan,
    "multiplicative_rnn": multiplicative_rnn,
    "irnn": partial(torch_nn.elman, nonlinearity="relu"),
    "phased_lstm": phased_lstm,
    "qrnn": qrnn,
    "nested_lstm": nested_lstm,
    "mogrifier_lstm": mogrifier_lstm,
}
