"""Convolution in the place of `@`: a scan over images, whose positions are rows that engines know how to run.

Products become convolutions, which see neighbouring rows; all else is elementwise, a cell for an engine
(`carousel.space.stepwise`).
Legend: T time, B batch, S positions, N = B * S rows, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from carousel.engines.params import Parameters, starts
from carousel.engines.rows import cuts, fill, within
from carousel.space.images import at_each_row
from carousel.space.stepwise import Steps

if TYPE_CHECKING:
    from carousel.graph import Cell


def scan(
    engine: str,
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    *,
    space: Sequence[int],
    sides: Mapping[str, Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
    reverse: bool = False,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """`carousel.engines.scan` on N rows that are the positions of images, `space` their size.

    Matrices are kernels (rows, columns, *kernel), or (heads, rows / heads, columns / heads, *kernel), and a transposed
    one is the adjoint convolution. Vectors are (w,), or (w, *space) with a value for each position.
    """
    T = len(x)
    active = None if lengths is None else within(lengths, T, x.device)  # (T, N, 1)
    sides = {name: fill(value, lengths, active) for name, value in sides.items()}
    positions = {
        name: at_each_row(params[name], x.shape[1], len(space))
        for name, parameter in cell.step.parameters.items()
        if parameter.kind != "matrix" and params[name].dim() > 1
    }
    run = Steps(
        engine,
        cell,
        sizes,
        fill(x, lengths, active),
        params,
        sides,
        positions,
        space,
    )
    fresh = initial is not None
    first, initial = starts(cell, sizes, x, hx, initial)
    cut, state = cuts(resets, active, reverse), first
    started = None if active is None or T == 0 else active[0]
    if started is not None:  # rows of no length keep what they were given, but it is not convolved
        state = tuple(torch.where(started, h, s) for h, s in zip(first, initial, strict=True))
    found: list[tuple[Tensor, dict[str, Tensor]]] = []
    run.at_zero = hx is None and not fresh
    for t in reversed(range(T)) if reverse else range(T):
        if cut is not None:
            state = tuple(torch.where(cut[t], s, h) for s, h in zip(initial, state, strict=True))
        y, state, seen = run.step(t, state, None if lengths is None else (lengths > t).long(), record)
        found.append((y, seen))
        run.at_zero = False
    if started is not None:
        state = tuple(torch.where(started, s, h) for s, h in zip(state, first, strict=True))
    if reverse:
        found.reverse()
    y = torch.cat([y for y, _ in found]) if found else x.new_zeros(0, x.shape[1], cell.output_width(**sizes))
    return y, state, {name: torch.cat([seen[name] for _, seen in found]) for name in record}
