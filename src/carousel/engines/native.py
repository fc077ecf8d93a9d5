"""The native engine: whole sequences in the compiled core, float32 and float64 on the CPU, for any cell.

What depends on parameters alone or on per-sequence inputs is computed with PyTorch before the call, under autograd; the
core does everything that changes with the step, and its derivative.
Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from carousel.engines.evaluate import evaluate
from carousel.engines.native_autograd import call
from carousel.engines.native_call import DTYPES, MISSING
from carousel.engines.params import Parameter, Rows, as_tensor
from carousel.graph.cell import NUMBERED
from carousel.graph.compiling import Leaf, Sizes, leaves, programs
from carousel.graph.dag import STEP
from carousel.graph.lowering import trace_levels

if TYPE_CHECKING:
    from carousel.graph import Cell

Bindings = tuple[tuple[str, int, int], ...]  # name of what a program reads, input tensor, first row


def status() -> str | None:
    """Why the engine is missing on this machine, or None."""
    return MISSING


def serves(cell: Cell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the engine cannot run the cell on `x`, or None."""
    if x.device.type != "cpu":
        return f"the native engine runs on the CPU, x is on {x.device}"
    if x.dtype not in DTYPES:
        return f"the native engine computes in float32 and float64, x is {x.dtype}"
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
    T, B = x.shape[:2]
    key: Sizes = tuple(sorted(sizes.items()))
    recorded = tuple(cell.step.names[name] for name in record)
    at_steps, found, wanted_outside = _needs(cell.number, key, recorded)
    outside = _outside(cell, sizes, x, params, sides, wanted_outside)

    gathered = Inputs(x)
    for kind, source in found:
        gathered.add(kind, source, outside[source], T, B)
    for k, (start, restart) in enumerate(zip(hx, initial, strict=True)):
        gathered.add("hx", k, start, T, B)
        gathered.add("initial", k, restart, T, B)
    wanted = gathered.wanted() if torch.is_grad_enabled() else None
    text = _plan(cell.number, key, at_steps, wanted, tuple(gathered.bindings))
    flags = None if resets is None else resets.to(torch.uint8).contiguous()
    values = call(text, reverse, lengths, flags, gathered.tensors)
    first = 1 + len(at_steps)
    steps, final = values[:first], values[first : first + len(hx)]
    seen = dict(zip(at_steps, steps[1:], strict=True))
    for n in recorded:
        if n not in seen:
            seen[n] = _at_every_step(as_tensor(outside[n]), T, B, lengths)
    return steps[0], tuple(final), {name: seen[n] for name, n in zip(record, recorded, strict=True)}


# What follows depends on the cell and on sizes alone: torch.compile takes the results as constants. It can pass numbers
# and strings to such a function but not a cell, hence `number`; and it looks through caches, which must lie within.


@torch.compiler.assume_constant_result
def _needs(
    number: int, sizes: Sizes, recorded: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[Leaf, ...], tuple[int, ...]]:
    """Which of the recorded nodes change with the step, what the step reads, and what is to be computed outside it."""
    return _find_needs(number, sizes, recorded)


@torch.compiler.assume_constant_result
def _plan(
    number: int, sizes: Sizes, record: tuple[int, ...], wanted: tuple[Leaf, ...] | None, bindings: Bindings
) -> str:
    """The plan of one kind of call (see `native_call`)."""
    return _make_plan(number, sizes, record, wanted, bindings)


@lru_cache(maxsize=512)
def _find_needs(
    number: int, sizes: Sizes, recorded: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[Leaf, ...], tuple[int, ...]]:
    cell = NUMBERED[number]
    level = trace_levels(cell)
    at_steps = tuple(dict.fromkeys(n for n in recorded if level[n] >= STEP))
    found = leaves(cell, sizes, at_steps)
    outside = (*(source for _, source in found), *(n for n in recorded if level[n] < STEP))
    return at_steps, found, outside


@lru_cache(maxsize=512)
def _make_plan(
    number: int, sizes: Sizes, record: tuple[int, ...], wanted: tuple[Leaf, ...] | None, bindings: Bindings
) -> str:
    asked = None if wanted is None else frozenset(wanted)
    made: dict[str, Any] = json.loads(programs(NUMBERED[number], sizes, record, asked))
    made["bind"] = _by_head(made, {name: [tensor, row] for name, tensor, row in bindings})
    return json.dumps(made, separators=(",", ":"))


def _by_head(made: dict[str, Any], bind: dict[str, list[int]]) -> dict[str, list[int]]:
    """A block-diagonal matrix (heads, rows, columns) as one matrix a head."""
    out = {name: place for name, place in bind.items() if not name.startswith("matrix:")}
    for side in ("forward", "backward"):
        for shape, _, name in made[side]["externals"] if made[side] else []:
            if shape == "matrix":
                plain = name.removeprefix("d_")
                base, head = plain.rsplit(":", 1)
                tensor, row = bind[base]
                out[plain] = [tensor, row + int(head)]
    return out


class Inputs:
    """The tensors of one call, each once, and which of them each leaf of the step is."""

    def __init__(self, x: Tensor) -> None:
        self.tensors: list[Tensor] = [x]
        self.bindings: list[tuple[str, int, int]] = []
        self.owner: dict[int, int] = {}
        self.leaf: dict[int, list[Leaf]] = {}

    def add(self, kind: str, source: int, value: Parameter, T: int, B: int) -> None:
        if isinstance(value, Rows):
            index, row = self._shared(value.tensor), value.start
        else:
            index, row = self._index(self._shaped(kind, value, T, B)), 0
        self.bindings.append((f"{kind}:{source}", index, row))
        self.leaf.setdefault(index, []).append((kind, source))

    def _shaped(self, kind: str, value: Tensor, T: int, B: int) -> Tensor:
        if kind == "step":
            return value if value.shape[:2] == (T, B) else value.expand(T, B, value.shape[-1])
        if kind in ("batch", "hx", "initial"):
            return value if value.dim() == 2 and value.shape[0] == B else value.expand(B, value.shape[-1])
        if kind == "matrix":
            return value.contiguous() if value.dim() == 3 else value
        return value.reshape(-1) if value.dim() != 1 else value

    def _shared(self, tensor: Tensor) -> int:
        if id(tensor) not in self.owner:
            self.owner[id(tensor)] = self._new(tensor)
        return self.owner[id(tensor)]

    def _index(self, tensor: Tensor) -> int:
        return 0 if tensor is self.tensors[0] else self._new(tensor)

    def _new(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def wanted(self) -> tuple[Leaf, ...] | None:
        """The leaves whose gradient is asked for; None if no gradient is asked for at all."""
        asking = [i for i, tensor in enumerate(self.tensors) if tensor.requires_grad]
        if not asking:
            return None
        return tuple(leaf for i in asking for leaf in self.leaf.get(i, ()) if leaf[0] not in ("hx", "initial"))


def _outside(
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    params: Mapping[str, Parameter],
    sides: Mapping[str, Tensor],
    wanted: Sequence[int],
) -> dict[int, Parameter]:
    """The values of inputs and parameters, and of what is computed from parameters and per-sequence inputs alone."""
    values: dict[int, Parameter] = {}
    given: dict[int, Tensor] = {}
    for i, node in enumerate(cell.step.nodes):
        if node.op == "parameter":
            values[i] = params[node.attr["name"]]
        elif node.op == "input":
            values[i] = x
        elif node.op == "side":
            values[i] = sides[node.attr["name"]].to(x.dtype)
        elif node.op == "time":
            values[i] = torch.arange(x.shape[0], dtype=x.dtype)[:, None, None]
    expressions = [n for n in wanted if n not in values]
    if expressions:
        given = {i: as_tensor(value) for i, value in values.items()}
        computed = evaluate(cell.step, expressions, given, sizes, x)
        values |= {n: computed[n] for n in expressions}
    return values


def _at_every_step(value: Tensor, T: int, B: int, lengths: Tensor | None) -> Tensor:
    """What does not change with the step, at every step: (T, B, w), zero past each row's end."""
    rows = value.expand(T, B, value.shape[-1])
    if lengths is None:
        return rows
    return torch.where((torch.arange(T)[:, None] < lengths).unsqueeze(-1), rows, 0)
