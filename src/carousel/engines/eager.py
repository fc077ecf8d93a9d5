"""The eager engine: the step graph in plain PyTorch. It defines what is right; the other engines agree with it.

Cells on tensors, which have no step graph, it hands to `loop`.

What depends on parameters only is computed once a call, what does not depend on the states for all steps at once
before the loop, and what nothing reads back for all steps at once after it.
Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from carousel.engines import loop
from carousel.engines.constant import constant
from carousel.engines.evaluate import needed, run
from carousel.engines.params import Parameters, starts
from carousel.engines.rows import cuts, fill, within
from carousel.graph.cell import NUMBERED, Cell
from carousel.graph.levels import LOOP, STEP, levels
from carousel.graph.step import LEAVES

if TYPE_CHECKING:
    from carousel.graph import AnyCell, Step


def status() -> str | None:
    """Why the engine is missing: it never is."""
    return None


def serves(cell: AnyCell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the engine cannot run the cell on `x`: any cell, device and dtype will do."""
    return None


def scan(
    cell: AnyCell,
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
    if not isinstance(cell, Cell):
        return loop.scan(cell, sizes, x, hx, params, sides, lengths, resets, initial, reverse, record)
    step = cell.step
    T, B = x.shape[:2]
    active = None if lengths is None else within(lengths, T, x.device)  # (T, B, 1)
    hx, initial = starts(cell, sizes, x, hx, initial)
    recorded = [step.names[name] for name in record]
    order = _order(cell.number, tuple(recorded))

    before = run(step, order[BEFORE], _leaves(cell, x, params, sides, lengths, active), sizes, x)
    cut = cuts(resets, active, reverse)
    final, kept = _loop(cell, order, before, hx, initial, active, cut, reverse, sizes, x)
    after = run(step, order[AFTER], {**before, **kept}, sizes, x)

    def finish(index: int) -> Tensor:
        value = after[index].expand(T, B, step.nodes[index].width.resolve(sizes))
        return value if active is None else torch.where(active, value, 0)

    return finish(step.output), final, {name: finish(n) for name, n in zip(record, recorded, strict=True)}


def _leaves(
    cell: Cell, x: Tensor, params: Parameters | Mapping, sides: Mapping, lengths: Tensor | None, active: Tensor | None
) -> dict:
    """Values of the graph's leaves, other than states and numbers; never what lies in the padding."""
    T = x.shape[0]
    values = {}
    for index, node in enumerate(cell.step.nodes):
        if node.op == "input":
            values[index] = fill(x, lengths, active)
        elif node.op == "side":
            values[index] = fill(sides[node.attr["name"]], lengths, active)
        elif node.op == "parameter":
            value = params[node.attr["name"]]
            values[index] = value if value.dim() else value.reshape(1)
        elif node.op == "time":
            values[index] = torch.arange(T, dtype=x.dtype, device=x.device).view(T, 1, 1)
    return values


# The orders that `_order` returns: what to compute before, in and after the loop; which values of the loop are read
# after it; and which of those before it the loop reads, constant or changing with the step.
BEFORE, INSIDE, AFTER, KEPT, CONSTANT, CHANGING = range(6)


@constant
def _order(number: int, recorded: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The plan of a call, in nodes. torch.compile takes it as a constant, and can pass numbers but no cell."""
    return _make_order(number, recorded)


@lru_cache(maxsize=512)
def _make_order(number: int, recorded: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    cell = NUMBERED[number]
    step, level = cell.step, levels(cell.step, cell.sides)
    given = [n for n, node in enumerate(step.nodes) if node.op in LEAVES and node.op != "number"]
    states = [n for n in given if level[n] == LOOP]
    last = (step.output, *recorded)

    used = needed(step, (*step.outputs, *last), given)
    read = {a for n in used if level[n] == LOOP for a in step.nodes[n].args}
    early = {n for n in (*read, *step.outputs, *last) if level[n] < LOOP}
    before = needed(step, early, given)
    inside = needed(step, step.outputs, {*early, *states})
    after = needed(step, last, {*early, *inside, *states})
    late = {n for n in (*last, *(a for n in after for a in step.nodes[n].args)) if n in {*inside, *states}}
    in_loop = {n for n in (*step.outputs, *(a for i in inside for a in step.nodes[i].args)) if level[n] < LOOP}
    constant, changing = ([n for n in sorted(in_loop) if (level[n] == STEP) == c] for c in (False, True))
    return tuple(tuple(nodes) for nodes in (before, inside, after, sorted(late), constant, changing))


def _loop(
    cell: Cell,
    order: tuple[tuple[int, ...], ...],
    before: Mapping[int, Tensor],
    hx: Sequence[Tensor],
    initial: Sequence[Tensor],
    active: Tensor | None,
    cut: Tensor | None,
    reverse: bool,
    sizes: Mapping[str, int],
    x: Tensor,
) -> tuple[tuple[Tensor, ...], dict[int, Tensor]]:
    """Step by step: the final states, and for every node of the loop that is read after it its values (T, B, w)."""
    step, (T, B) = cell.step, x.shape[:2]
    leaf = {index: node.attr["k"] for index, node in enumerate(step.nodes) if node.op == "state"}
    constant = {index: before[index] for index in order[CONSTANT]}
    changing = {index: before[index].unbind(0) for index in order[CHANGING]}
    history: dict[int, list[Tensor]] = {index: [] for index in order[KEPT]}

    started = None if active is None or T == 0 else active[0]
    state = list(hx) if started is None else [torch.where(started, h, s) for h, s in zip(hx, initial, strict=True)]
    for t in reversed(range(T)) if reverse else range(T):
        previous = state
        if cut is not None:
            previous = [torch.where(cut[t], s, h) for s, h in zip(initial, state, strict=True)]
        given = {**constant, **{index: rows[t] for index, rows in changing.items()}}
        given |= {index: previous[k] for index, k in leaf.items()}
        values = run(step, order[INSIDE], given, sizes, x)
        new = [values[index].expand(B, h.shape[-1]) for index, h in zip(step.outputs, previous, strict=True)]
        state = new if active is None else [torch.where(active[t], n, h) for n, h in zip(new, state, strict=True)]
        for index, rows in history.items():
            rows.append(values[index])
    if started is not None:
        state = [torch.where(started, s, h) for s, h in zip(state, hx, strict=True)]
    return tuple(state), {index: _stack(rows, step, index, sizes, x, reverse) for index, rows in history.items()}


def _stack(rows: list[Tensor], step: Step, index: int, sizes: Mapping, x: Tensor, reverse: bool) -> Tensor:
    if not rows:
        return x.new_zeros(0, x.shape[1], step.nodes[index].width.resolve(sizes))
    return torch.stack(rows[::-1] if reverse else rows)
