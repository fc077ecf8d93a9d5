"""PyTorch's own LSTM and GRU operators, for the devices that no engine of ours reaches yet.

They serve exactly the cells that they implement, without resets and without a look inside.
Legend: T time, B batch, w a width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel import cells
from carousel.engines.params import Parameters, starts
from carousel.engines.rows import fill, turned, within

if TYPE_CHECKING:
    from carousel.graph import Cell

# Per cell the operator, and its tensors: which of the cell's parameters stand in the rows of each.
LSTM_TENSORS = tuple(tuple(f"{letter}_{gate}" for gate in "ifco") for letter in "WUb")
GRU_TENSORS = (("W_r", "W_z", "W_n"), ("U_r", "U_z", "U_n"), ("b_r", "b_z", "b_n"), ("0", "0", "b_hn"))
OPERATORS: dict[Cell, tuple[Callable, tuple[tuple[str, ...], ...]]] = {
    cells.lstm: (torch.lstm, LSTM_TENSORS),
    cells.projected_lstm: (torch.lstm, (*LSTM_TENSORS, ("W_hr",))),
    cells.gru: (torch.gru, GRU_TENSORS),
}


def status() -> str | None:
    """Why the engine is missing: it comes with PyTorch."""
    return None


def serves(cell: Cell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the operators cannot run the cell on `x`, or None."""
    if cell not in OPERATORS:
        return f"PyTorch has no operator for the cell {cell.name}"
    if resets is not None:
        return "PyTorch's operators know no resets"
    if record:
        return "PyTorch's operators do not show what happens inside"
    return None


def scan(
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    *,
    sides: Mapping[str, Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
    reverse: bool = False,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs one direction of one layer over a whole sequence (see `carousel.engines.scan`)."""
    T, B = x.shape[:2]
    hx, _ = starts(cell, sizes, x, hx, initial)
    if T == 0 or B == 0:
        return x.new_zeros(T, B, hx[0].shape[-1]), tuple(hx), {}
    operator, weights = OPERATORS[cell][0], _weights(cell, Parameters.of(params))
    state = [h.unsqueeze(0).contiguous() for h in hx]
    start = state[0] if len(state) == 1 else state
    if lengths is None:
        y, *final = operator(turned(x, None) if reverse else x, start, weights, True, 1, 0.0, False, False, False)
        return turned(y, None) if reverse else y, tuple(h.squeeze(0) for h in final), {}
    if reverse:
        x = turned(x, lengths)
    # A packed sequence must have a step in every row: empty ones get one, which is thrown away.
    active = within(lengths, T, x.device)
    packed = pack_padded_sequence(fill(x, lengths, active), lengths.clamp(min=1), enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    start = state[0][:, order] if len(state) == 1 else [h[:, order] for h in state]
    data, *final = operator(packed.data, packed.batch_sizes, start, weights, True, 1, 0.0, False, False)
    y, _ = pad_packed_sequence(packed._replace(data=data), total_length=T)
    y = torch.where(active, y, 0)
    ends = (torch.where(active[0], s[0, back], h) for s, h in zip(final, hx, strict=True))
    return turned(y, lengths) if reverse else y, tuple(ends), {}


def _weights(cell: Cell, params: Parameters) -> list[Tensor]:
    """The operator's tensors: the cell's parameters stacked, and a second bias, zero where the cell has one."""
    tensors = [_stacked(params, names) for names in OPERATORS[cell][1]]
    return tensors if cell is cells.gru else [*tensors[:3], torch.zeros_like(tensors[2]), *tensors[3:]]


def _stacked(params: Parameters, names: Sequence[str]) -> Tensor:
    """Parameters one below the other ("0" is zeros); the tensor itself where they are all of its rows, in order."""
    places = {name: (k, start, length) for name, k, start, length in params.layout}
    found = [places[name] for name in names if name in places]
    if len(found) == len(names) and len({k for k, _, _ in found}) == 1:
        whole = params.tensors[found[0][0]]
        ends = [start + length for _, start, length in found]
        if [start for _, start, _ in found] == [0, *ends[:-1]] and ends[-1] == len(whole):
            return whole
    last = params[names[-1]]
    return torch.cat([torch.zeros_like(last) if name == "0" else params[name] for name in names])
