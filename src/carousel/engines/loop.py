"""The loop over steps of a `TensorCell`, which the eager engine runs: its function as it is written.

Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from carousel.engines.params import Parameters, choose, starts
from carousel.engines.rows import cuts, fill, within
from carousel.graph.tensors import plain

if TYPE_CHECKING:
    from carousel.graph import TensorCell


def scan(
    cell: TensorCell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    sides: Mapping[str, Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
    reverse: bool,
    record: Sequence[str],
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs one direction of one layer over a whole sequence (see `carousel.engines.scan`)."""
    T, B = x.shape[:2]
    hx, initial = starts(cell, sizes, x, hx, initial)
    p = plain({name: params[name] for name in params})
    active = None if lengths is None else within(lengths, T, x.device)  # (T, B, 1)
    cut = cuts(resets, active, reverse)
    x, sides = fill(x, lengths, active), {name: fill(side, lengths, active) for name, side in sides.items()}
    started = None if active is None or T == 0 else active[0]
    state = hx if started is None else choose(started, hx, initial)
    steps: list[tuple[Tensor, ...]] = []
    for t in reversed(range(T)) if reverse else range(T):
        now = {name: side[t] if cell.sides[name].kind == "step" else side for name, side in sides.items()}
        if cell.time is not None:
            now[cell.time] = x.new_full((1, 1), t)
        previous = state if cut is None else choose(cut[t], initial, state)
        y, new = cell.advance(x[t], *previous, p, **now)
        state = new if active is None else choose(active[t], new, state)
        steps.append((y, *(new[cell.states.index(name)] for name in record)))
    final = tuple(state) if started is None else tuple(choose(started, state, hx))
    shapes = dict(zip(cell.states, cell.state_shapes(**sizes), strict=True))
    if reverse:
        steps.reverse()
    empty = [(cell.output_width(**sizes),), *(shapes[name] for name in record)]
    found = (
        [torch.stack(values) for values in zip(*steps, strict=True)]
        if steps
        else [x.new_zeros(0, B, *shape) for shape in empty]
    )
    y, *seen = found if active is None else (blank(value, active) for value in found)
    return y, final, dict(zip(record, seen, strict=True))


def blank(value: Tensor, active: Tensor) -> Tensor:
    """`value` (T, B, ...), zero where `active` (T, B, 1) is not set."""
    return torch.where(active.view(*active.shape[:2], *[1] * (value.dim() - 2)), value, 0)
