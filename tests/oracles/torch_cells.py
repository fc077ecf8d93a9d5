"""PyTorch's LSTMCell, one step at a time, whose input holds whatever the gates see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from oracles.common import Found, Oracle, Parameters

OPEN = 50.0  # of which the sigmoid is 1 to the last bit

Rows = Mapping[str, Sequence[Tensor]]


def step(rows: Rows, b: Mapping[str, Tensor], seen: Sequence[Tensor], c: Tensor) -> tuple[Tensor, Tensor]:
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
    return torch.sigmoid(nn.functional.linear(torch.cat(list(seen), 1), torch.cat(list(row), 1), b))


def peephole_lstm_c(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    (c,), ys = hx, []
    rows = {k: (params[f"W_{k}"], params[f"U_{k}"]) for k in "ifo"}
    rows["c"] = (params["W_c"], torch.zeros_like(params["U_o"]))
    for x_t in x:
        h, c = step(rows, {k: params[f"b_{k}"] for k in "ifco"}, (x_t, c), c)
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
        _, new = step(rows, b, (x_t, h, old, torch.zeros_like(old)), c)
        h, c = step(rows, b, (x_t, h, old, new.detach()), c)
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
        _, new = step(rows, b, (x_t, h, i, f, o, c, torch.zeros_like(c)), c)
        seen = (x_t, h, i, f, o, c, new)
        i, f, o = (gate(rows[k], b[k], seen) for k in "ifo")
        h, c = step(rows, b, seen, c)
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
            h, half = step(repeated, biases, seen, s / 2)
            s, i, o = 2 * half, gate(rows["i"], b["i"], seen), gate(rows["o"], b["o"], seen)
            ys.append(h)
        return torch.stack(ys), (h, s, i, o)

    return oracle


ORACLES = {"lstm_1997": lstm_1997(), "peephole_lstm_c": peephole_lstm_c, "lstm_fgr": lstm_fgr}
