"""The eager engine: the step graph in plain PyTorch. It defines what is right; the other engines agree with it.

What depends on parameters only is computed once a call, what does not depend on the states for all steps at once
before the loop, and what nothing reads back for all steps at once after it.
Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from carousel.engines.evaluate import LOOP, STEPS, evaluate, levels, needed, run
from carousel.engines.params import Parameter, as_tensor

if TYPE_CHECKING:
    from carousel.graph import Cell, Step


def status() -> str | None:
    """Why the engine is missing: it never is."""
    return None


def serves(cell: Cell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the engine cannot run the cell on `x`: any cell, device and dtype will do."""
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
    step = cell.step
    T, B = x.shape[:2]
    active = None if lengths is None else within(lengths, T, x.device)  # (T, B, 1)
    initial = [torch.as_tensor(s).expand(B, s.shape[-1]) for s in initial]  # (B, w)
    leaves = _leaves(cell, x, params, sides, lengths, active)
    level = levels(step, cell.sides)
    recorded = {name: step.names[name] for name in record}
    last = [step.output, *recorded.values()]

    inner = needed(step, [*step.outputs, *last], leaves)
    hoisted = _hoisted(step, inner, [*step.outputs, *last], level)
    before = evaluate(step, hoisted, leaves, sizes, x)
    cut = cuts(resets, active, reverse)
    final, kept = _loop(cell, before, level, last, hx, initial, active, cut, reverse, sizes, x)
    after = evaluate(step, last, {**before, **kept}, sizes, x)

    def finish(index: int) -> Tensor:
        value = after[index].expand(T, B, step.nodes[index].width.resolve(sizes))
        return value if active is None else torch.where(active, value, 0)

    return finish(step.output), final, {name: finish(index) for name, index in recorded.items()}


def within(lengths: Tensor, T: int, device: torch.device) -> Tensor:
    """(T, B, 1) bool: whether step t lies within row b's length."""
    return (torch.arange(T)[:, None] < lengths).to(device).unsqueeze(-1)


def cuts(resets: Tensor | None, active: Tensor | None, reverse: bool) -> Tensor | None:
    """(T, B, 1) bool: whether the state that step t takes over is replaced by the initial one.

    In reverse the cut lies between t and t - 1, so that it is step t - 1 which starts afresh.
    """
    if resets is None:
        return None
    cut = resets.unsqueeze(-1) if active is None else resets.unsqueeze(-1) & active
    return torch.cat([cut[1:], torch.zeros_like(cut[:1])]) if reverse else cut


def _leaves(
    cell: Cell, x: Tensor, params: Mapping, sides: Mapping, lengths: Tensor | None, active: Tensor | None
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
            value = as_tensor(params[node.attr["name"]])
            values[index] = value if value.dim() else value.reshape(1)
        elif node.op == "time":
            values[index] = torch.arange(T, dtype=x.dtype, device=x.device).view(T, 1, 1)
    return values


def fill(value: Tensor, lengths: Tensor | None, active: Tensor | None) -> Tensor:
    """`value` (T, B, w) or (B, w) with its padding overwritten by entries that are real.

    The steps past a row's end are computed and thrown away. Zeros would not do for them: where an equation has no
    finite slope at zero, the gradient of what is thrown away is zero times infinity.
    """
    if lengths is None or value.shape[0] == 0 or lengths.numel() == 0:
        return value
    assert active is not None
    B, device = len(lengths), value.device
    row = torch.where(lengths > 0, torch.arange(B), lengths.argmax())  # (B,): an empty row borrows the longest one
    if value.dim() == 2:
        real, filler = (lengths > 0).to(device)[:, None], value.detach()[row.to(device)]
    else:
        t = torch.minimum(torch.arange(len(value))[:, None], (lengths[row] - 1).clamp(min=0))  # (T, B)
        real, filler = active, value.detach()[t.to(device), row.to(device)]
    filler = torch.where((lengths.max() > 0).to(device), filler, 1)  # all rows are empty
    return torch.where(real, value, filler)


def _hoisted(step: Step, inner: Sequence[int], wanted: Sequence[int], level: Sequence[int]) -> set[int]:
    """The nodes outside the loop that something in it, or the caller, reads."""
    read = {a for index in inner if level[index] == LOOP for a in step.nodes[index].args}
    return {index for index in (*read, *wanted) if level[index] < LOOP}


def _loop(
    cell: Cell,
    before: Mapping[int, Tensor],
    level: Sequence[int],
    last: Sequence[int],
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
    leaf = {node.attr["k"]: index for index, node in enumerate(step.nodes) if node.op == "state"}
    order = needed(step, step.outputs, {*before, *leaf.values()})
    kept = _read_after(step, last, {*order, *leaf.values()}, before)
    constant = {index: value for index, value in before.items() if level[index] < STEPS}
    changing = {index: value.unbind(0) for index, value in before.items() if level[index] == STEPS}
    history: dict[int, list[Tensor]] = {index: [] for index in kept}

    started = None if active is None or T == 0 else active[0]
    state = list(hx) if started is None else [torch.where(started, h, s) for h, s in zip(hx, initial, strict=True)]
    for t in reversed(range(T)) if reverse else range(T):
        previous = state
        if cut is not None:
            previous = [torch.where(cut[t], s, h) for h, s in zip(state, initial, strict=True)]
        given = {**constant, **{index: rows[t] for index, rows in changing.items()}}
        given |= {leaf[k]: h for k, h in enumerate(previous) if k in leaf}
        values = run(step, order, given, sizes, x)
        new = [values[index].expand(B, h.shape[-1]) for index, h in zip(step.outputs, previous, strict=True)]
        state = new if active is None else [torch.where(active[t], n, h) for n, h in zip(new, state, strict=True)]
        for index, rows in history.items():
            rows.append(values[index])
    if started is not None:
        state = [torch.where(started, s, h) for s, h in zip(state, hx, strict=True)]
    return tuple(state), {index: _stack(rows, step, index, sizes, x, reverse) for index, rows in history.items()}


def _read_after(step: Step, last: Sequence[int], loop: set[int], before: Mapping) -> list[int]:
    """The nodes of the loop that what is computed after it reads."""
    after = needed(step, last, {*before, *loop})
    return sorted({index for index in (*last, *(a for n in after for a in step.nodes[n].args)) if index in loop})


def _stack(rows: list[Tensor], step: Step, index: int, sizes: Mapping, x: Tensor, reverse: bool) -> Tensor:
    if not rows:
        return x.new_zeros(0, x.shape[1], step.nodes[index].width.resolve(sizes))
    return torch.stack(rows[::-1] if reverse else rows)
