"""neuralhydrology, the library of authors of the mass-conserving and the entity-aware LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear

from oracles.common import Found, Parameters, stacked


def mass_conserving_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its cell, with exp in the place of its activations: an exponential divided by the column's sum is the softmax."""
    return run_neuralhydrology(params, x, hx, Exponential())


class Exponential(nn.Module):
    """exp, as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def run_neuralhydrology(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], activation: nn.Module | None = None
) -> Found:
    """Its cell, one row at a time, since it divides c by the sum over the whole batch. None: its own activations."""
    from neuralhydrology.modelzoo.mclstm import _MCLSTMCell

    hidden, masses = params["b_i"].shape
    cell = _MCLSTMCell(masses, x.shape[-1] - masses, hidden, SimpleNamespace(initial_forget_bias=None))
    for letter, gate in (("i", cell.input_gate), ("r", cell.redistribution), ("o", cell.output_gate)):
        _give(gate.fc, *(params[f"{kind}_{letter}"] for kind in "WUb"), masses)
    if activation is not None:
        cell.input_gate.activation = cell.redistribution.activation = activation
    rows = [_row(cell, x[:, b : b + 1], hx[0][b : b + 1], masses) for b in range(x.shape[1])]
    y, c = (torch.cat(values, -2) for values in zip(*rows, strict=True))
    return y, (c,)


def _give(layer: nn.Linear, W: Tensor, U: Tensor, b: Tensor, masses: int) -> None:
    """Our weights: from one cell to the others where ours are to one cell from the others, none for the mass."""
    matrix = torch.cat([W.new_zeros(*W.shape[:-1], masses), W, U], -1)
    if matrix.dim() == 3:
        matrix, b = matrix.transpose(0, 1).flatten(0, 1), b.T.flatten()
    del layer.weight, layer.bias
    layer.weight, layer.bias = matrix, b


def _row(cell: nn.Module, x: Tensor, c: Tensor, masses: int) -> tuple[Tensor, Tensor]:
    out = []
    for step in x:
        h, c = cell._step(step[:, :masses], step[:, masses:], c)
        out.append(h)
    return torch.stack(out), c


def entity_aware_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, s: Tensor) -> Found:
    """Its step and its gates, f, o and g side by side; it takes the input gate as given."""
    from neuralhydrology.modelzoo.ealstm import EALSTM, _DynamicGates

    h, c = hx
    gates = _DynamicGates(SimpleNamespace(hidden_size=h.shape[-1], initial_forget_bias=None), x.shape[-1])
    W, U, b = (stacked(params, letter, "foc") for letter in "WUb")
    weights = {"weight_ih": W.T, "weight_hh": U.T, "bias": b}
    net = SimpleNamespace(dynamic_gates=lambda *given: functional_call(gates, weights, given))
    i, out = torch.sigmoid(linear(s, params["W_i"], params["b_i"])), []
    for step in x:
        h, c = EALSTM._cell(net, step, i, (h, c))
        out.append(h)
    return torch.stack(out), (h, c)


ORACLES = {"mass_conserving_lstm": mass_conserving_lstm, "entity_aware_lstm": entity_aware_lstm}
