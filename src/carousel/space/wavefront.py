"""Scans over several axes at once: position by position along every axis, all positions of a diagonal as one batch.

A position waits for those one step back along each axis, so positions whose coordinates have the same sum do not wait
for each other: they are the rows of one step. A scan from another corner is the same with coordinates turned round.
Legend: B batch, n axes, S positions of the images, M positions to visit (those within the sizes of their samples), N
rows of one diagonal, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from carousel import engines
from carousel.engines.native_autograd import apply
from carousel.engines.params import Parameters

if TYPE_CHECKING:
    from carousel.graph import Cell


class Places(NamedTuple):
    """Which row goes where: row k of the result is row `rows[k]`, and zero for the k in `empty`. No row goes twice."""

    rows: Tensor
    empty: Tensor


class Move(NamedTuple):
    """Rows to their places, and the way back."""

    there: Places
    back: Places

    @classmethod
    def of(cls, index: Tensor, rows: int) -> Move:
        """The move to `index`, where -1 is no row, of a tensor of that many rows."""
        found = index >= 0
        back = torch.full((rows,), -1).index_copy_(0, index[found], found.nonzero().flatten())
        return cls(_places(index), _places(back))

    def turned(self) -> Move:
        """The way back, and there."""
        return Move(self.back, self.there)


def _places(index: Tensor) -> Places:
    return Places(index.clamp(min=0), (index < 0).nonzero().flatten())


class _Moved(torch.autograd.Function):
    """PyTorch's own gradient of `index_select` adds, one row after the other; here each row goes to one place."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, *move: Tensor) -> Tensor:
        index, empty = move[:2]
        if len(rows) == 0:
            return rows.new_zeros(len(index), *rows.shape[1:])
        made = rows.index_select(0, index)
        return made.index_fill_(0, empty, 0) if len(empty) else made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        index, empty, back, unused = ctx.saved_tensors
        return apply(_Moved, gradient, back, unused, index, empty), None, None, None, None


def moved(rows: Tensor, move: Move) -> Tensor:
    """Rows (N, w) at their new places.

    >>> moved(torch.tensor([[1.0], [2.0]]), Move.of(torch.tensor([1, -1, 0]), 2)).flatten()
    tensor([2., 0., 1.])
    """
    if not torch.is_grad_enabled():
        return _Moved.forward(rows, *move.there)
    return apply(_Moved, rows, *move.there, *move.back)


class Fronts(NamedTuple):
    """The diagonals of a batch of images with n `axes`.

    `order` brings rows (B * S) into the order of the diagonals (M), `counts` says how many rows each has. `before`
    gives, for each, what it takes over: from rows (N', n blocks of w) of the diagonal before to (N, n blocks), block d
    from the predecessor along the axis d. `outside` (N * n, 1) says where there is none.
    """

    axes: int
    order: Move
    counts: list[int]
    before: list[Move]
    outside: list[Tensor]


@lru_cache(maxsize=64)
def fronts(
    space: tuple[int, ...], sizes: tuple[tuple[int, ...], ...], turned: tuple[bool, ...], device: torch.device
) -> Fronts:
    """The diagonals of images (B, *space), each sample of its own size, scanned backwards along the `turned` axes."""
    with device:
        return _fronts(space, sizes, turned)


def _fronts(space: tuple[int, ...], sizes: tuple[tuple[int, ...], ...], turned: tuple[bool, ...]) -> Fronts:
    n, B, S = len(space), len(sizes), torch.Size(space).numel()
    steps = [torch.Size(space[d + 1 :]).numel() for d in range(n)]
    own = torch.tensor(sizes, dtype=torch.int64).view(B, 1, n)
    at = torch.stack(
        [torch.arange(S) // step % extent for step, extent in zip(steps, space, strict=True)], -1
    )  # (S, n)
    inside = (at < own).all(-1).flatten()  # (B * S)
    along = torch.where(torch.tensor(turned), own - 1 - at, at.expand(B, S, n)).flatten(0, 1)[inside]  # (M, n)
    sample = torch.arange(B).repeat_interleave(S)[inside]
    diagonal, order = along.sum(-1).sort(stable=True)
    along, sample = along[order], sample[order]
    counts = torch.bincount(diagonal, minlength=1).tolist()

    rank = torch.arange(len(order)) - (torch.tensor([0, *counts]).cumsum(0))[diagonal]
    flat = sample * S + (along * torch.tensor(steps)).sum(-1)
    ranks = torch.zeros(B * S, dtype=torch.int64).index_copy_(0, flat, rank)
    blocks = []  # for each axis (M): the block of the predecessor among those of its diagonal, -1 where there is none
    for d, step in enumerate(steps):
        predecessor = ranks[(flat - step).clamp(min=0)] * n + d
        blocks.append(torch.where(along[:, d] > 0, predecessor, -1))
    index = torch.stack(blocks, -1).split(counts)
    before = [Move.of(block.flatten(), last * n) for block, last in zip(index, [0, *counts], strict=False)]
    outside = [(block < 0).view(-1, 1) for block in index]
    return Fronts(n, Move.of(inside.nonzero().flatten()[order], B * S), counts, before, outside)


def scan(
    engine: str,
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    params: Parameters | Mapping[str, Tensor],
    *,
    fronts: Fronts,
    initial: Sequence[Tensor] | None,
    record: Sequence[str] = (),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Runs one direction over x (B * S, D): y (B * S, w), and what was recorded, zero outside the samples' sizes.

    Each state of the cell (n * w) holds one block for each axis, which comes from the predecessor along that axis, or
    outside the image from `initial`, (n * w) each; None is zero.
    """
    state = tuple(x.new_zeros(0, width) for width in cell.state_widths(**sizes))
    few, found = Parameters.stacked(params), list[tuple[Tensor, dict[str, Tensor]]]()
    for t, rows in enumerate(moved(x, fronts.order).unsqueeze(0).split(fronts.counts, 1)):
        state = _taken_over(fronts, t, state, initial)
        # A diagonal is a batch of which every row is one step long.
        y, state, seen = engines.scan(
            engine,
            cell,
            sizes,
            rows,
            state,
            few,
            sides={},
            lengths=None,
            resets=None,
            initial=None,
            record=record,
        )
        found.append((y, seen))
    back = fronts.order.turned()
    y = moved(torch.cat([y for y, _ in found], 1).squeeze(0), back)
    return y, {name: moved(torch.cat([seen[name] for _, seen in found], 1).squeeze(0), back) for name in record}


def _taken_over(
    fronts: Fronts, t: int, state: Sequence[Tensor], initial: Sequence[Tensor] | None
) -> tuple[Tensor, ...]:
    """The states (N, n * w) that diagonal t starts from, where the one before it ended with `state`."""
    n, N, made = fronts.axes, fronts.counts[t], []
    for k, h in enumerate(state):
        width = h.shape[-1]
        blocks = moved(h.reshape(-1, width // n), fronts.before[t])
        if initial is not None:
            fresh = initial[k].view(1, n, -1).expand(N, -1, -1).flatten(0, 1)
            blocks = torch.where(fronts.outside[t], fresh, blocks)
        made.append(blocks.view(N, width))
    return tuple(made)
