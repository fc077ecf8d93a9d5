"""The native engine: whole sequences in the compiled core, float32 and float64 on the CPU, for any cell.

What depends on parameters alone or on per-sequence inputs is computed with PyTorch before the call, under autograd; the
core does everything that changes with the step, and its derivative.
Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from carousel.engines.constant import constant
from carousel.engines.evaluate import evaluate
from carousel.engines.native_autograd import call
from carousel.engines.native_call import DTYPES, MISSING
from carousel.engines.params import Direction, Layout, Parameters, stacked
from carousel.engines.precision import BFLOAT16, rounded
from carousel.graph.cell import NUMBERED, Cell
from carousel.graph.levels import STEP, levels
from carousel.graph.passes.compiling import Leaf, Sizes, leaves, programs

if TYPE_CHECKING:
    from carousel.graph import AnyCell


class Kind(NamedTuple):
    """Everything about a call but its tensors, as numbers and strings, which torch.compile takes as constants."""

    cell: int
    sizes: Sizes
    recorded: tuple[int, ...]
    layout: Layout
    starts: bool  # hx is given
    restarts: bool  # the initial states are given
    precision: str | None  # of products


class Recipe(NamedTuple):
    """Which tensors a kind of call passes to the core, and what else is to be computed.

    `inputs`: for each tensor where it is from, and the leaf that it stands for; a tensor that holds several leaves in
    its rows is named once. `bindings`: for each leaf its tensor and first row. `outside`: nodes of the trace to compute
    with PyTorch. `at_steps`: the recorded nodes that change with the step.
    """

    inputs: tuple[tuple[str, Any, str], ...]
    bindings: tuple[tuple[str, int, int], ...]
    leaves: tuple[tuple[Leaf, ...], ...]
    outside: tuple[int, ...]
    at_steps: tuple[int, ...]


def status() -> str | None:
    """Why the engine is missing on this machine, or None."""
    return MISSING


def serves(cell: AnyCell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str | None:
    """Why the engine cannot run the cell on `x`, or None."""
    if not isinstance(cell, Cell):
        return f"the native engine runs steps on rows, and {cell.name} has matrices"
    if x.device.type != "cpu":
        return f"the native engine runs on the CPU, x is on {x.device}"
    if x.dtype not in DTYPES and x.dtype != torch.bfloat16:
        return f"the native engine computes in float32, float64 and bfloat16, x is {x.dtype}"
    return None


def scan(
    cell: Cell,
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
    direction = Direction(params, hx, initial, sides, reverse)
    y, final, seen = scan_layer(cell, sizes, x, [direction], lengths=lengths, resets=resets, record=record)
    return y, tuple(s.squeeze(0) for s in final), {name: value.squeeze(0) for name, value in seen.items()}


def scan_layer(
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    directions: Sequence[Direction],
    *,
    lengths: Tensor | None,
    resets: Tensor | None,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs all directions of one layer side by side (see `carousel.engines.scan_layer`)."""
    if x.dtype == torch.bfloat16:
        wide = [_widened(d) for d in directions]
        made = scan_layer(cell, sizes, x.float(), wide, lengths=lengths, resets=resets, record=record)
        return rounded(torch.bfloat16, *made)
    recorded = tuple(cell.step.names[name] for name in record)
    params = [Parameters.of(d.params) for d in directions]
    restarts = directions[0].initial is not None
    starts = restarts or directions[0].hx is not None
    kind = (cell.number, tuple(sizes.items()), recorded, params[0].layout, starts, restarts, params[0].precision)
    sources, _, _, outside, at_steps = _recipe(*kind)
    tensors: list[Tensor] = []
    ways, values = [], []
    grad = torch.is_grad_enabled()
    for d, own in zip(directions, params, strict=True):
        computed = _outside(cell, sizes, x, own, d.sides, outside) if outside else {}
        hx = d.initial if d.hx is None else d.hx
        inputs = [_tensor(source, x, hx, d.initial, own, d.sides, computed) for source in sources]
        ways.append((d.reverse, tuple(t.requires_grad for t in inputs) if grad else ()))
        tensors += inputs
        values.append(computed)
    text = _plan(*kind, *ways)
    flags = None if resets is None else resets.to(torch.uint8).contiguous()
    outputs = call(text, lengths, flags, tensors)

    first = 1 + len(at_steps)
    final = tuple(outputs[first : first + len(cell.states)])
    if not recorded:
        return outputs[0], final, {}
    seen = dict(zip(at_steps, outputs[1:first], strict=True))
    for n in recorded:
        if n not in seen:
            seen[n] = stacked([_at_every_step(computed[n], x, lengths) for computed in values])
    return outputs[0], final, {name: seen[n] for name, n in zip(record, recorded, strict=True)}


def _widened(direction: Direction) -> Direction:
    """Everything in float32, with products in bfloat16: only what comes from outside and goes there is in bfloat16."""
    given = Parameters.of(direction.params)
    params = Parameters([p.float() for p in given.tensors], given.layout, BFLOAT16)
    hx, initial = (s if s is None else [h.float() for h in s] for s in (direction.hx, direction.initial))
    return Direction(params, hx, initial, {n: s.float() for n, s in direction.sides.items()}, direction.reverse)


@constant
def _recipe(*kind: Any) -> Recipe:
    # Dynamo looks through caches, which must lie within what it takes as a constant.
    return _make_recipe(Kind(*kind))


@constant
def _plan(*kind_and_ways: Any) -> str:
    return _make_plan(*kind_and_ways)


@lru_cache(maxsize=512)
def _make_recipe(kind: Kind) -> Recipe:
    cell = NUMBERED[kind.cell]
    level, nodes = levels(cell.step, cell.sides), cell.step.nodes
    at_steps = tuple(dict.fromkeys(n for n in kind.recorded if level[n] >= STEP))
    rows = {name: (k, start) for name, k, start, _ in kind.layout}
    inputs: list[tuple[str, Any, str]] = [("input", 0, "step")]
    owned: list[list[Leaf]] = [[]]
    bindings: list[tuple[str, int, int]] = []

    def bind(leaf: Leaf, entry: tuple[str, Any, str], row: int = 0, shared: bool = False) -> None:
        index = inputs.index(entry) if shared and entry in inputs else len(inputs)
        if index == len(inputs):
            inputs.append(entry)
            owned.append([])
        owned[index].append(leaf)
        bindings.append((f"{leaf[0]}:{leaf[1]}", index, row))

    outside = [n for n in kind.recorded if level[n] < STEP]
    for shape, source in leaves(cell, kind.sizes, at_steps):
        node = nodes[source]
        if node.op == "parameter":
            k, row = rows[node.attr["name"]]
            bind((shape, source), ("parameter", k, shape), row, shared=True)
        elif node.op == "input":
            bind((shape, source), ("input", 0, "step"), shared=True)
        elif node.op == "side":
            bind((shape, source), ("side", node.attr["name"], shape))
        elif node.op == "time":
            bind((shape, source), ("time", 0, shape))
        else:
            outside.append(source)
            bind((shape, source), ("outside", source, shape))
    for k in range(len(cell.states)):
        if kind.starts:
            bind(("hx", k), ("hx", k, "batch"))
        if kind.restarts:
            bind(("initial", k), ("initial", k, "batch"))
    return Recipe(tuple(inputs), tuple(bindings), tuple(map(tuple, owned)), tuple(outside), at_steps)


@lru_cache(maxsize=1024)
def _make_plan(*kind_and_ways: Any) -> str:
    """The plan of a layer: a list with one entry a direction."""
    kind, ways = Kind(*kind_and_ways[: len(Kind._fields)]), kind_and_ways[len(Kind._fields) :]
    recipe, runs = _make_recipe(kind), []
    differentiated = any(True in wanted for _, wanted in ways)
    for reverse, wanted in ways:
        asked = None
        if differentiated:
            asked = frozenset(leaf for owned, yes in zip(recipe.leaves, wanted, strict=True) if yes for leaf in owned)
        made: dict[str, Any] = json.loads(programs(NUMBERED[kind.cell], kind.sizes, recipe.at_steps, asked))
        made["bind"] = _by_head(made, {name: [tensor, row] for name, tensor, row in recipe.bindings})
        made["shapes"] = [shape for _, _, shape in recipe.inputs]
        made["reverse"], made["precision"] = reverse, kind.precision
        runs.append(made)
    return json.dumps(runs, separators=(",", ":"))


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


def _tensor(
    source: tuple[str, Any, str],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    initial: Sequence[Tensor] | None,
    params: Parameters,
    sides: Mapping[str, Tensor],
    outside: Mapping[int, Tensor],
) -> Tensor:
    """One input of the core: (T, B, w) per step, (B, w) per row, and parameters as they are."""
    what, which, shape = source
    if what == "parameter":
        value = params.tensors[which]
        return value.contiguous() if value.dim() == 3 else value
    if what == "input":
        return x
    if what == "hx" or what == "initial":
        states = hx if what == "hx" else initial
        assert states is not None
        return states[which].expand(x.shape[1], -1)
    if what == "time":
        return torch.arange(x.shape[0], dtype=x.dtype)[:, None, None].expand(-1, x.shape[1], 1)
    value = sides[which].to(x.dtype) if what == "side" else outside[which]
    if shape == "batch":
        return value.expand(x.shape[1], -1)
    return value.expand(x.shape[0], x.shape[1], -1) if shape == "step" else value.contiguous()


def _outside(
    cell: Cell,
    sizes: Mapping[str, int],
    x: Tensor,
    params: Parameters,
    sides: Mapping[str, Tensor],
    wanted: Sequence[int],
) -> dict[int, Tensor]:
    """What is computed from parameters and per-sequence inputs alone."""
    given = {}
    for i, node in enumerate(cell.step.nodes):
        if node.op == "parameter":
            value = params[node.attr["name"]]
            given[i] = value if value.dim() else value.reshape(1)
        elif node.op == "side" and cell.sides[node.attr["name"]].kind == "sequence":
            given[i] = sides[node.attr["name"]].to(x.dtype)
    computed = evaluate(cell.step, wanted, given, sizes, x)
    return {n: computed[n] for n in wanted}


def _at_every_step(value: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
    """What does not change with the step, at every step: (T, B, w), zero past each row's end."""
    T, B = x.shape[:2]
    rows = value.expand(T, B, value.shape[-1])
    if lengths is None:
        return rows
    return torch.where((torch.arange(T)[:, None] < lengths).unsqueeze(-1), rows, 0)
