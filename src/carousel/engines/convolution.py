"""Convolution in the place of `@`: a scan over images, whose positions are rows that engines know how to run.

An image (B, C, *space) is B * S rows of C channels, one for each of its S positions, and lies in memory as such
("channels last"). Products become convolutions, which see neighbouring rows: those of inputs are computed for all steps
at once, those of states one step at a time, stacked into one. All else is elementwise, a cell that an engine runs
(`carousel.graph.products`).
Legend: T time, B batch, S positions, N = B * S rows, C channels, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel import engines
from carousel.engines.evaluate import apply, evaluate
from carousel.engines.params import Parameters, starts
from carousel.engines.rows import cuts, fill, within
from carousel.graph.cell import Cell
from carousel.graph.levels import LOOP, STEP, levels
from carousel.graph.products import Product, Stage, Sum, stages

if TYPE_CHECKING:
    from carousel.graph import AnyCell

CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
Row = tuple[int, int, int]  # what kernels are applied to: a node, in how many groups of channels, and which kernels


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
    run = _Run(engine, cell, sizes, fill(x, lengths, active), params, space, sides)
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


def elementwise(cell: AnyCell) -> Cell:
    """What an engine has to run of the cell."""
    assert isinstance(cell, Cell)
    return stages(cell)[-1].cell


class Block(NamedTuple):
    """Sums of one stage with products of the same rows, so that their kernels stack."""

    sums: tuple[Sum, ...]
    rows: tuple[Row, ...]


@lru_cache(maxsize=512)
def _plan(cell: Cell, per_position: frozenset[str]) -> tuple[tuple[Stage, tuple[Block, ...]], ...]:
    """The stages, each with its sums in blocks."""

    def rows(total: Sum) -> tuple[Row, ...]:
        return tuple(sorted({_row(product) for product in total.products}))

    found = []
    for stage in stages(cell, per_position):
        groups = groupby(sorted(stage.sums, key=rows), key=rows)
        found.append((stage, tuple(Block(tuple(sums), key) for key, sums in groups)))
    return tuple(found)


def _row(product: Product) -> Row:
    """Whole kernels of a row stack; those in groups of channels go one by one, their channels would come mixed."""
    return product.row, product.heads, product.matrix if product.heads > 1 else -1


class _Run:
    """One call: its kernels, what is computed for all steps at once, and one step.

    `at_zero` says that all states are zero, as they mostly are before the first step: they need no convolution then.
    """

    at_zero = False

    def __init__(
        self,
        engine: str,
        cell: Cell,
        sizes: Mapping[str, int],
        x: Tensor,
        params: Parameters | Mapping[str, Tensor],
        space: Sequence[int],
        sides: Mapping[str, Tensor],
    ) -> None:
        self.engine, self.cell, self.sizes, self.space, self.x = engine, cell, sizes, space, x
        self.level = levels(cell.step, cell.sides)
        vectors = {name: params[name] for name, p in cell.step.parameters.items() if p.kind != "matrix"}
        spread = {name: self._at_each_row(value) for name, value in vectors.items() if value.dim() > 1}
        self.vectors = Parameters.of({name: value for name, value in vectors.items() if name not in spread})
        self.plan = _plan(cell, frozenset(spread))
        self.xs = x.split(1)
        self.by_step = {n: v.split(1) for n, v in sides.items() if cell.sides[n].kind == "step"}
        self.fixed = {n: v for n, v in sides.items() if n not in self.by_step} | spread
        if cell.time is not None:
            steps = torch.arange(len(x), dtype=x.dtype, device=x.device)
            self.by_step["time"] = steps.view(-1, 1, 1).expand(-1, x.shape[1], 1).split(1)
        self.leaves = self._leaves(params, {**vectors, **spread}, sides)
        self.early = self._before_the_loop()
        self.late = [self._stacked(blocks, late=True) for _, blocks in self.plan]

    # -- before the loop

    def _at_each_row(self, value: Tensor) -> Tensor:
        """A vector that has values per position (w, *space), as rows (N, w)."""
        rows = to_rows(value.unsqueeze(0), len(self.space))
        return rows.repeat(self.x.shape[1] // len(rows), 1)

    def _leaves(
        self, params: Parameters | Mapping[str, Tensor], vectors: Mapping[str, Tensor], sides: Mapping[str, Tensor]
    ) -> dict[int, Tensor]:
        """The values of the step's leaves, other than states and numbers."""
        found = {}
        for n, node in enumerate(self.cell.step.nodes):
            if node.op == "input":
                found[n] = self.x
            elif node.op == "side":
                found[n] = sides[node.attr["name"]]
            elif node.op == "parameter":
                value = vectors.get(node.attr["name"], params[node.attr["name"]])
                found[n] = value if value.dim() else value.reshape(1)
            elif node.op == "time":
                found[n] = torch.cat(self.by_step["time"]) if len(self.x) else self.x.new_zeros(0, self.x.shape[1], 1)
        return found

    def _matrix(self, n: int) -> Tensor:
        """The kernel of a matrix-valued node."""
        node = self.cell.step.nodes[n]
        if n in self.leaves:
            return self.leaves[n]
        args = [self._matrix(a) for a in node.args]
        if node.op == "transpose":
            axes = tuple(range(-len(self.space), 0))
            return args[0].transpose(-1 + axes[0], -2 + axes[0]).flip(axes)
        return apply(node, args, self.sizes, self.x)

    def _kernel(self, total: Sum, row: Row) -> Tensor:
        """The kernel of a sum for a row: (channels out, channels in / heads, *kernel)."""
        own = [self._matrix(product.matrix) for product in total.products if _row(product) == row]
        kernel = sum(own[1:], own[0])
        return kernel.flatten(0, 1) if row[1] > 1 else kernel

    def _stacked(self, blocks: Sequence[Block], late: bool) -> list[tuple[Row, Tensor, list[Block]]]:
        """For each row, which changes in the loop or not, the kernels of all blocks as one."""
        found: dict[Row, list[Block]] = {}
        for block in blocks:
            for row in block.rows:
                if (self.level[row[0]] == LOOP) == late:
                    found.setdefault(row, []).append(block)
        return [
            (row, torch.cat([self._kernel(total, row) for block in own for total in block.sums]), own)
            for row, own in found.items()
        ]

    def _sums(
        self, stacked: Sequence[tuple[Row, Tensor, list[Block]]], rows: Mapping[int, Tensor], into: dict[Block, Tensor]
    ) -> None:
        """Adds the products with `rows` to the sums of their blocks."""
        for row, kernel, blocks in stacked:
            if self.at_zero and self.cell.step.nodes[row[0]].op == "state" and all(block in into for block in blocks):
                continue
            made = convolve(rows[row[0]], kernel, row[1], self.space)
            widths = [sum(self._width(total) for total in block.sums) for block in blocks]
            for block, part in zip(blocks, made.split(widths, -1) if len(widths) > 1 else [made], strict=True):
                into[block] = into[block] + part if block in into else part

    def _width(self, total: Sum) -> int:
        return total.width.resolve(self.sizes)

    def _before_the_loop(self) -> dict[Block, Sequence[Tensor]]:
        """What inputs bring to each block: (1, N, w) for each step, or (N, w) once."""
        stacked = self._stacked([block for _, blocks in self.plan for block in blocks], late=False)
        step, (T, N) = self.cell.step, self.x.shape[:2]
        wanted = [row[0] for row, _, _ in stacked]
        values, found = evaluate(step, wanted, self.leaves, self.sizes, self.x), dict[Block, Tensor]()
        for n in wanted:
            outer = (T, N) if self.level[n] == STEP else (N,)
            values[n] = values[n].expand(*outer, step.nodes[n].width.resolve(self.sizes))
        self._sums(stacked, values, found)
        return {block: total.split(1) if total.dim() == 3 else [total] * T for block, total in found.items()}

    # -- one step

    def step(
        self, t: int, state: tuple[Tensor, ...], lengths: Tensor | None, record: Sequence[str]
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        """Step t: y (1, N, w), the new states, and what was recorded, (1, N, w) each."""
        given = {**{name: value[t] for name, value in self.by_step.items()}, **self.fixed}
        nodes = self.cell.step.nodes
        rows = {n: state[node.attr["k"]].unsqueeze(0) for n, node in enumerate(nodes) if node.op == "state"}
        for (stage, blocks), late in zip(self.plan, self.late, strict=True):
            totals = {block: self.early[block][t] for block in blocks if block in self.early}
            self._sums(late, rows, totals)
            for block in blocks:
                parts = totals[block].split([self._width(total) for total in block.sums], -1)
                given |= {total.side: part for total, part in zip(block.sums, parts, strict=True)}
            last = stage is self.plan[-1][0]
            if last or stage.rows:
                names = tuple(record) if last else tuple(name for _, name in stage.rows)
                own = {name: value for name, value in given.items() if name in stage.cell.sides}
                y, new, seen = engines.scan(
                    self.engine,
                    stage.cell,
                    self.sizes,
                    self.xs[t],
                    state,
                    self.vectors,
                    sides=own,
                    lengths=lengths,
                    resets=None,
                    initial=None,
                    record=names,
                )
                rows |= {n: seen[name] for n, name in stage.rows}
        return y, new, seen
