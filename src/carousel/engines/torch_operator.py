"""PyTorch's own LSTM and GRU operators, for the devices that no engine of ours reaches yet.

They serve exactly the cells that they implement, without resets and without looking inside.
Legend: T time, B batch, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.engines.eager import within
from carousel.engines.params import Parameter, Rows, as_tensor

if TYPE_CHECKING:
    from carousel.graph import Cell

# Per cell: the operator, and its tensors as the cell's parameters, stacked by rows.
OPERATORS: dict[str, tuple[Callable, tuple[tuple[str, ...], ...]]] = {}


def status() -> str | None:
    """Why the engine is missing: it comes with PyTorch."""
    return None


def serves(cell: Cell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the operators cannot run the cell on `x`, or None."""
    if cell.name not in OPERATORS or not cell.fn.__module__.startswith("carousel.cells."):
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
    hx: Sequence[Tensor],
    params: Mapping[str, Parameter],
    *,
    sides: Mapping[str, Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    initial: Sequence[Tensor],
    reverse: bool = False,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs one direction of one layer over a whole sequence (see `carousel.engines.scan`)."""
