"""Cells whose products are convolutions: their steps one by one.

Products become side inputs of an elementwise cell (`carousel.graph.products`), which an engine runs. Those of inputs
are computed for many steps at once, those of states step by step, stacked into one.
Legend: T time, N rows (positions of images), w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from carousel import engines
from carousel.engines.evaluate import apply, evaluate, needed
from carousel.engines.native_autograd import apply as apply_function
from carousel.engines.native_call import side_by_side
from carousel.engines.params import Parameters
from carousel.graph.cell import Cell
from carousel.graph.levels import LOOP, STEP, levels
from carousel.graph.products import Product, Stage, Sum, stages
from carousel.space.images import Convolution

if TYPE_CHECKING:
    from carousel.graph import AnyCell, Step

Row = tuple[int, int, int]  # what kernels are applied to: a node, in how many groups of channels, and which kernels


def elementwise(cell: AnyCell) -> Cell:
    """What an engine has to run of the cell."""
    assert isinstance(cell, Cell)
    return stages(cell)[-1].cell


Stacked = tuple[Row, Tensor, "list[Block]"]  # the kernels that several blocks have for a row, as one
REUSED = 1 << 20  # bytes; larger buffers come as fresh pages from the system, which takes longer than computing them


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


class _Split(torch.autograd.Function):
    """`split` along the columns, whose gradient is no copy where an engine has written its parts side by side."""

    generate_vmap_rule = True

    @staticmethod
    def forward(whole: Tensor, *widths: int) -> tuple[Tensor, ...]:
        return whole.split(widths, -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *parts: Tensor) -> tuple:
        plain = not torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active()
        whole = side_by_side(parts) if plain else None
        return (torch.cat(parts, -1) if whole is None else whole, *(None for _ in parts))


def _each_step(values: Tensor) -> Sequence[Tensor]:
    """Values (T, N, w) of the steps, (1, N, w) each; a single one is no copy backwards."""
    return values.split(1) if len(values) > 1 else [values]


class Steps:
    """One call: its kernels, what is computed for all steps at once, and one step.

    Args:
        engine, cell, sizes, x, params, sides: as `carousel.engines.scan`; matrices are kernels.
        vectors: parameters that have a value for each row, (N, w), and not for all.
        space: the size of the images.

    Setting `at_zero` says that all states are zero, as they mostly are before the first step: no product is needed.
    """

    at_zero = False

    def __init__(
        self,
        engine: str,
        cell: Cell,
        sizes: Mapping[str, int],
        x: Tensor,
        params: Parameters | Mapping[str, Tensor],
        sides: Mapping[str, Tensor],
        vectors: Mapping[str, Tensor],
        space: Sequence[int],
    ) -> None:
        self.engine, self.cell, self.sizes, self.x, self.dims = engine, cell, sizes, x, len(space)
        self.product, self.level = Convolution(space), levels(cell.step, cell.sides)
        own = {name: params[name] for name, p in cell.step.parameters.items() if p.kind != "matrix"}
        self.vectors = Parameters.stacked({name: value for name, value in own.items() if name not in vectors})
        self.plan = _plan(cell, frozenset(vectors))
        steps = torch.arange(len(x), dtype=x.dtype, device=x.device)
        per_step = {n: v for n, v in sides.items() if cell.sides[n].kind == "step"}
        if cell.time is not None:
            per_step["time"] = steps.view(-1, 1, 1).expand(*x.shape[:2], 1)
        self.xs, self.by_step = x.split(1), {name: value.split(1) for name, value in per_step.items()}
        self.fixed = {**{name: value for name, value in sides.items() if name not in per_step}, **vectors}
        self.leaves = self._leaves({**{name: params[name] for name in params}, **vectors}, {**sides, **per_step})
        self._prepare_early()
        self.late = [self._stacked(blocks, late=True) for _, blocks in self.plan]

    # -- before the loop

    def _leaves(self, params: Mapping[str, Tensor], sides: Mapping[str, Tensor]) -> dict[int, Tensor]:
        """The values of the step's leaves, other than states and numbers."""
        found = {}
        for n, node in enumerate(self.cell.step.nodes):
            if node.op == "input":
                found[n] = self.x
            elif node.op == "side":
                found[n] = sides[node.attr["name"]]
            elif node.op == "parameter":
                value = params[node.attr["name"]]
                found[n] = value if value.dim() else value.reshape(1)
            elif node.op == "time":
                found[n] = sides["time"]
        return found

    def _matrix(self, n: int) -> Tensor:
        """The kernel of a matrix-valued node."""
        node = self.cell.step.nodes[n]
        if n in self.leaves:
            return self.leaves[n]
        args = [self._matrix(a) for a in node.args]
        if node.op == "transpose":
            return args[0].transpose(-1 - self.dims, -2 - self.dims).flip(tuple(range(-self.dims, 0)))
        return apply(node, args, self.sizes, self.x)

    def _kernel(self, total: Sum, row: Row) -> Tensor:
        """The kernel of a sum for a row: (channels out, channels in / heads, *kernel)."""
        own = [self._matrix(product.matrix) for product in total.products if _row(product) == row]
        kernel = sum(own[1:], own[0])
        return kernel.flatten(0, 1) if row[1] > 1 else kernel

    def _stacked(self, blocks: Sequence[Block], late: bool) -> list[Stacked]:
        """For each row, which changes in the loop or not, the kernels of all blocks as one."""
        found: dict[Row, list[Block]] = {}
        for block in blocks:
            for row in block.rows:
                if (self.level[row[0]] == LOOP) == late:
                    found.setdefault(row, []).append(block)
        stacked = []
        for row, own in found.items():
            kernel = torch.cat([self._kernel(total, row) for block in own for total in block.sums])
            stacked.append((row, self.product.prepared(kernel, row[1]), own))
        return stacked

    def _sums(self, stacked: Sequence[Stacked], rows: Mapping[int, Tensor], into: dict[Block, Tensor]) -> None:
        """Adds the products with `rows` to the sums of their blocks."""
        for row, kernel, blocks in stacked:
            if self.at_zero and self.cell.step.nodes[row[0]].op == "state" and all(block in into for block in blocks):
                continue
            own = rows[row[0]]
            if len(blocks) == 1 and blocks[0] in into and into[blocks[0]].shape[:-1] == own.shape[:-1]:
                into[blocks[0]] = self.product(own, kernel, row[1], into[blocks[0]])
                continue
            widths = [sum(self._width(total) for total in block.sums) for block in blocks]
            for block, part in zip(blocks, self.product(own, kernel, row[1]).split(widths, -1), strict=True):
                into[block] = into[block] + part if block in into else part

    def _width(self, total: Sum) -> int:
        return total.width.resolve(self.sizes)

    def _prepare_early(self) -> None:
        """What inputs bring to each block: at once if it is the same at all steps, else for `many` steps at a time."""
        step, N = self.cell.step, self.x.shape[1]
        stacked = self._stacked([block for _, blocks in self.plan for block in blocks], late=False)
        values = self._values(step, [row[0] for row, _, _ in stacked])
        self.once: dict[Block, Tensor] = {}
        rows = {n: value for n, value in values.items() if self.level[n] < STEP}
        self._sums([one for one in stacked if one[0][0] in rows], rows, self.once)
        self.each = [one for one in stacked if one[0][0] not in rows]
        size = N * sum(len(kernel) for _, kernel, _ in self.each) * self.x.element_size()
        self.many = max(1, REUSED // max(1, size))
        self.pieces = {n: value.split(self.many) for n, value in values.items() if n not in rows}
        self.piece, self.early = -1, dict[Block, Sequence[Tensor]]()

    def _values(self, step: Step, wanted: Sequence[int]) -> dict[int, Tensor]:
        """Rows that no state enters, (T, N, w) or (N, w), with the products that they are made of."""
        known = dict(self.leaves)

        def rows(n: int) -> Tensor:
            value = evaluate(step, [n], known, self.sizes, self.x)[n]
            outer = self.x.shape[:2] if self.level[n] == STEP else self.x.shape[1:2]
            return value.expand(*outer, step.nodes[n].width.resolve(self.sizes))

        for n in needed(step, wanted, self.leaves):
            if step.nodes[n].op == "matmul":
                matrix, row = step.nodes[n].args
                heads = step.nodes[n].attr["heads"]
                kernel = self._matrix(matrix)
                kernel = kernel.flatten(0, 1) if heads > 1 else kernel
                known[n] = self.product(rows(row), self.product.prepared(kernel, heads), heads)
        return {n: rows(n) for n in wanted}

    def _early(self, t: int) -> dict[Block, Tensor]:
        """What inputs bring to each block at step t: (1, N, w), or (N, w) where that is the same at all steps."""
        if self.each and t // self.many != self.piece:
            self.piece, found = t // self.many, dict(self.once)
            self._sums(self.each, {n: pieces[self.piece] for n, pieces in self.pieces.items()}, found)
            self.early = {block: _each_step(total) for block, total in found.items() if total.dim() == 3}
        return self.once | {block: steps[t % self.many] for block, steps in self.early.items()}

    # -- one step

    def step(
        self, t: int, state: tuple[Tensor, ...], lengths: Tensor | None, record: Sequence[str]
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        """Step t: y (1, N, w), the new states, and what was recorded, (1, N, w) each."""
        given = {**{name: value[t] for name, value in self.by_step.items()}, **self.fixed}
        nodes, early = self.cell.step.nodes, self._early(t)
        rows = {n: state[node.attr["k"]].unsqueeze(0) for n, node in enumerate(nodes) if node.op == "state"}
        for (stage, blocks), late in zip(self.plan, self.late, strict=True):
            totals = {block: early[block] for block in blocks if block in early}
            self._sums(late, rows, totals)
            for block in blocks:
                parts = apply_function(_Split, totals[block], *(self._width(total) for total in block.sums))
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
