"""The engine of whole sequences: the form that a `TensorCell` brings along beside its step (see `TensorCell.whole`).

Legend: T time, B batch, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from carousel.engines.loop import blank
from carousel.engines.params import Parameters, starts
from carousel.engines.rows import cuts, fill, turned, within
from carousel.graph.tensor_cell import TensorCell
from carousel.graph.tensors import plain

if TYPE_CHECKING:
    from carousel.graph import AnyCell


def status() -> str | None:
    """Why the engine is missing: it never is."""
    return None


def serves(cell: AnyCell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the engine cannot run the cell on `x`, or None."""
    if not isinstance(cell, TensorCell) or cell.sequence is None:
        return f"the cell {cell.name} has no form for a whole sequence"
    if record:
        return "the form for a whole sequence does not show what happens inside"
    if cell.time is not None:
        return f"the cell {cell.name} reads the step index"
    return None


def scan(
    cell: TensorCell,
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
    hx, initial = starts(cell, sizes, x, hx, initial)
    active = None if lengths is None else within(lengths, x.shape[0], x.device)  # (T, B, 1)
    cut = cuts(resets, active, reverse)
    x, sides = fill(x, lengths, active), {name: fill(side, lengths, active) for name, side in sides.items()}
    if reverse:
        x, cut = turned(x, lengths), None if cut is None else turned(cut, lengths)
        sides = {n: turned(side, lengths) if cell.sides[n].kind == "step" else side for n, side in sides.items()}
    assert cell.sequence is not None
    y, final = cell.sequence(
        x,
        *hx,
        plain({name: params[name] for name in params}),
        cut=None if cut is None else cut.squeeze(-1),
        active=None if active is None else active.squeeze(-1),
        initial=initial,
        **sides,
        **cell.options,
    )
    y = turned(y, lengths) if reverse else y
    return y if active is None else blank(y, active), tuple(final), {}
