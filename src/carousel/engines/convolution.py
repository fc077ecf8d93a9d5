"""Convolution in the place of `@`: a scan over images, whose positions are rows that engines know how to run.

An image (B, C, *space) is B * S rows of C channels, one for each of its S positions, and lies in memory as such
("channels last"). Products become convolutions, which see neighbouring rows: those of inputs are computed for all steps
at once, those of states step by step (`carousel.engines.stepwise`). All else is elementwise: a cell for an engine.
Legend: T time, B batch, S positions, N = B * S rows, C channels, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.engines.params import Parameters, starts
from carousel.engines.rows import cuts, fill, within
from carousel.engines.stepwise import Steps

if TYPE_CHECKING:
    from carousel.graph import Cell

CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def to_rows(images: Tensor, dims: int) -> Tensor:
    """Images (..., B, C, *space) as rows (..., N, C).

    >>> to_rows(torch.zeros(7, 2, 3, 5, 4), dims=2).shape
    torch.Size([7, 40, 3])
    """
    return images.movedim(-1 - dims, -1).flatten(-2 - dims, -2)


def to_images(rows: Tensor, space: Sequence[int]) -> Tensor:
    """Rows (..., N, C) as images (..., B, C, *space), in the same memory."""
    B = rows.shape[-2] // torch.Size(space).numel()
    return rows.unflatten(-2, (B, *space)).movedim(-1, -1 - len(space))


def convolve(rows: Tensor, kernel: Tensor, groups: int, space: Sequence[int]) -> Tensor:
    """Rows (..., N, C) under a kernel (channels out, C / groups, *kernel), with zeros around each image."""
    if rows.numel() == 0:
        return rows.new_zeros(*rows.shape[:-1], len(kernel))
    if len(space) == 1:  # PyTorch has channels-last memory for two and three axes
        space, kernel = (1, *space), kernel.unsqueeze(2)
    images = rows.reshape(-1, *space, rows.shape[-1]).movedim(-1, 1)
    kernel = kernel.contiguous(memory_format=CHANNELS_LAST[len(space)])
    around = [k // 2 for k in kernel.shape[2:]]
    if any(k % 2 == 0 for k in kernel.shape[2:]):  # one zero more behind the image than before it
        images = F.pad(images, [n for k in reversed(kernel.shape[2:]) for n in ((k - 1) // 2, k // 2)])
        around = [0] * len(space)
    made = CONVOLUTIONS[len(space)](images, kernel, padding=around, groups=groups)
    return made.movedim(1, -1).reshape(*rows.shape[:-1], len(kernel))


def at_each_row(vector: Tensor, N: int, dims: int) -> Tensor:
    """A vector that has a value for each position, (w, *space), as N rows."""
    rows = to_rows(vector.unsqueeze(0), dims)
    return rows.repeat(N // len(rows), 1)


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
        lambda rows, kernel, groups: convolve(rows, kernel, groups, space),
        positions,
        len(space),
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
