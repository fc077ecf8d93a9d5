"""Steps of PyTorch's LSTMCell on the weights of ours, from inputs and states that cells prepare for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear, relu

from oracles.common import Found, Oracle, Parameters, stacked

OPEN = 50.0  # of which the sigmoid is 1 to the last bit

Rows = Mapping[str, Sequence[Tensor]]


def lstm_step(params: Parameters, x_width: int, suffix: str = "") -> Callable[..., tuple[Tensor, ...]]:
    """torch.nn.LSTMCell on W_k, U_k and b_k: (x_t, (h, c)) -> (h, c)."""
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter + suffix, "ifco") for name, letter in letters.items()}
    weights["bias_hh"] = torch.zeros_like(weights["bias_ih"])
    lstm = nn.LSTMCell(x_width, len(weights["bias_ih"]) // 4, dtype=weights["bias_ih"].dtype)
    return lambda x_t, states: functional_call(lstm, weights, (x_t, states))


def step_seeing(rows: Rows, b: Mapping[str, Tensor], seen: Sequence[Tensor], c: Tensor) -> tuple[Tensor, Tensor]:
    """h and c after a step in which each gate of i, f, c, o has a row of matrices, one for each thing that is seen."""
    joined, H = torch.cat(list(seen), 1), c.shape[1]
    weight = torch.cat([torch.cat(list(rows[gate]), 1) for gate in "ifco"])
    bias = torch.cat([b[gate] for gate in "ifco"])
    module = nn.LSTMCell(joined.shape[1], H, dtype=c.dtype)
    weights = {"weight_ih": weight, "bias_ih": bias, "weight_hh": weight.new_zeros(4 * H, H)}
    weights["bias_hh"] = torch.zeros_like(bias)
    h, c = functional_call(module, weights, (joined, (torch.zeros_like(c), c)))
    return h, c


def gate(row: Sequence[Tensor], b: Tensor, seen: Sequence[Tensor]) -> Tensor:
    return torch.sigmoid(linear(torch.cat(list(seen), 1), torch.cat(list(row), 1), b))


def peephole_lstm_c(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    (c,), ys = hx, []
    rows = {k: (params[f"W_{k}"], params[f"U_{k}"]) for k in "ifo"}
    rows["c"] = (params["W_c"], torch.zeros_like(params["U_o"]))
    for x_t in x:
        h, c = step_seeing(rows, {k: params[f"b_{k}"] for k in "ifco"}, (x_t, c), c)
        ys.append(h)
    return torch.stack(ys), (c,)


def peephole_lstm_c_linear(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """The output gate is h / tanh(c)."""
    y, (c,) = peephole_lstm_c(params, x, hx)
    states = torch.cat([peephole_lstm_c(params, x[: t + 1], hx)[1][0][None] for t in range(len(x))])
    return y / torch.tanh(states) * states, (c,)


def peephole_lstm_truncated(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Peepholes see states without gradient: the one before the step, and, after a first look at it, the new one."""
    (h, c), ys = hx, []
    none = torch.zeros_like(params["U_c"])
    rows = {k: [params[f"W_{k}"], params[f"U_{k}"], none, none] for k in "ifco"}
    rows["i"][2], rows["f"][2], rows["o"][3] = (torch.diag(params[f"V_{k}"]) for k in "ifo")
    b = {k: params[f"b_{k}"] for k in "ifco"}
    for x_t in x:
        old = c.detach()
        _, new = step_seeing(rows, b, (x_t, h, old, torch.zeros_like(old)), c)
        h, c = step_seeing(rows, b, (x_t, h, old, new.detach()), c)
        ys.append(h)
    return torch.stack(ys), (h, c)


def lstm_fgr(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """As above, with gradient, and with the gates of the step before in the input."""
    (h, c, i, f, o), ys = hx, []
    none = torch.zeros_like(params["U_z"])
    rows = {k: [params[f"W_{k}"], params[f"U_{k}"], *(params[f"R_{j}{k}"] for j in "ifo"), none, none] for k in "ifo"}
    rows["i"][5], rows["f"][5], rows["o"][6] = (torch.diag(params[f"V_{k}"]) for k in "ifo")
    rows["c"] = [params["W_z"], params["U_z"], *([none] * 5)]
    b = {"c": params["b_z"], **{k: params[f"b_{k}"] for k in "ifo"}}
    for x_t in x:
        _, new = step_seeing(rows, b, (x_t, h, i, f, o, c, torch.zeros_like(c)), c)
        seen = (x_t, h, i, f, o, c, new)
        i, f, o = (gate(rows[k], b[k], seen) for k in "ifo")
        h, c = step_seeing(rows, b, seen, c)
        ys.append(h)
    return torch.stack(ys), (h, c, i, f, o)


def lstm_1997(truncate: bool = False) -> Oracle:
    """c is s / 2, since 2 sigmoid(a) - 1 is tanh(a / 2); each block's gates are repeated for its cells."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        (h, s, i, o), ys = hx, []
        size = h.shape[1] // i.shape[1]
        rows = {k: [params[f"{letter}{k}"] for letter in ("W_", "U_", "R_i", "R_o")] for k in "ioc"}
        b = {k: params.get(f"b_{k}", rows[k][0].new_zeros(len(rows[k][0]))) for k in "ioc"}
        repeated = {k: [matrix.repeat_interleave(size, 0) for matrix in rows[k]] for k in "io"}
        repeated |= {"c": [matrix / 2 for matrix in rows["c"]], "f": [torch.zeros_like(matrix) for matrix in rows["c"]]}
        biases = {k: b[k].repeat_interleave(size) for k in "io"}
        biases |= {"c": b["c"] / 2, "f": torch.full_like(b["c"], OPEN)}
        for x_t in x:
            seen = (x_t, *(v.detach() if truncate else v for v in (h, i, o)))
            h, half = step_seeing(repeated, biases, seen, s / 2)
            s, i, o = 2 * half, gate(rows["i"], b["i"], seen), gate(rows["o"], b["o"], seen)
            ys.append(h)
        return torch.stack(ys), (h, s, i, o)

    return oracle


def phased_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, time: Tensor, leak: float = 0.001) -> Found:
    """Each step proposed by torch.nn.LSTMCell, and taken as far as a triangle over the period is open."""
    step = lstm_step(params, x.shape[-1])
    tau, r_on = params["log_tau"].exp(), params["r_on"].abs()
    ys, states = [], tuple(hx)
    for x_t, now in zip(x, time, strict=True):
        phi = torch.remainder(now - params["s"], tau) / tau
        k = relu(1 - (2 * phi / r_on - 1).abs()) + leak * phi * (phi >= r_on)
        proposed = step(x_t, states)
        states = tuple(torch.lerp(old, new, k) for old, new in zip(states, proposed, strict=True))
        ys.append(states[0])
    return torch.stack(ys), states


def mogrifier_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    step, (h, c), ys = lstm_step(params, x.shape[-1]), hx, []
    rounds = [(name[0], params[name]) for k in range(1, 9) for name in (f"Q_{k}", f"R_{k}") if name in params]
    for x_t in x:
        for letter, matrix in rounds:
            if letter == "Q":
                x_t = x_t * (1 + torch.tanh(linear(h, matrix) / 2))
            else:
                h = h * (1 + torch.tanh(linear(x_t, matrix) / 2))
        h, c = step(x_t, (h, c))
        ys.append(h)
    return torch.stack(ys), (h, c)


def qrnn_ifo(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is what torch.nn.LSTMCell makes without recurrent matrices, of which g is z."""
    named = {name.replace("_z", "_c"): value for name, value in params.items()}
    step = lstm_step({**named, **{f"U_{k}": x.new_zeros(2 * [len(params["b_f"])]) for k in "ifco"}}, x.shape[-1])
    (c,), cells = hx, []
    for x_t in x:
        _, c = step(x_t, (c, c))
        cells.append(c)
    return torch.sigmoid(linear(x, params["W_o"], params["b_o"])) * torch.stack(cells), (c,)


def logarithmic(dt: Tensor) -> Tensor:
    return torch.log(torch.e + dt).reciprocal()


def time_aware_lstm(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], *, dt: Tensor, g: Callable[[Tensor], Tensor] = logarithmic
) -> Found:
    """LSTMCell, from memories of whose short-term part g(dt) is left."""
    step, (h, c), ys = lstm_step(params, x.shape[-1]), hx, []
    for x_t, dt_t in zip(x, dt, strict=True):
        short = torch.tanh(linear(c, params["W_d"], params["b_d"]))
        faded = c - short * (1 - g(dt_t))
        h, c = step(x_t, (h, faded))
        ys.append(h)
    return torch.stack(ys), (h, c)


ORACLES = {
    "lstm_1997": lstm_1997(),
    "peephole_lstm_c": peephole_lstm_c,
    "phased_lstm": phased_lstm,
    "lstm_fgr": lstm_fgr,
    "time_aware_lstm": time_aware_lstm,
    "mogrifier_lstm": mogrifier_lstm,
}
