"""A step run again from its graph, with the functions of the equations: on plain tensors, or while another is traced.

This is how a cell is called that has no function of its own, since its step was rewritten from another cell's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from carousel.graph import functions
from carousel.graph.step import Node, Step
from carousel.graph.values import Parameters, Traced, Value
from carousel.graph.widths import Dimension, Width

if TYPE_CHECKING:
    from carousel.graph.cell import Cell
    from carousel.graph.tracing import Trace

OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "neg", "lt", "le", "gt", "ge", "eq", "ne")},
    "div": operator.truediv,
    "matmul": operator.matmul,
    "transpose": lambda matrix: matrix.T,
    "stop": functions.stop_gradient,
}


def replay(cell: Cell, args: Sequence[Any], given: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """What the cell's function would return for `(x, *states, p)` and its keywords, and the value of every node."""
    step, p = cell.step, args[-1]
    leaves = [_leaf(cell, node, args, given) for node in step.nodes]
    values: list[Any] = []
    sizes: Mapping[str, Any] = _open_sizes(cell, leaves, p) if isinstance(p, Parameters) else _sizes(cell, leaves)
    for node, leaf in zip(step.nodes, leaves, strict=True):
        values.append(_apply(node, [values[a] for a in node.args], sizes) if leaf is None else leaf)
        if node.op == "matmul" and isinstance(values[-1], Value):  # nothing else says how many rows a matrix has
            _tie(values[-1], node, sizes)
    if isinstance(p, Parameters):
        _close_sizes(object.__getattribute__(p, "_trace"), sizes)
    own = [] if step.output == step.outputs[0] else [step.output]
    return [values[n] for n in (*own, *step.outputs)], values


def name_values(trace: Trace, prefix: str, step: Step, values: Sequence[Any]) -> None:
    """The quantities of an inlined step, by their names there."""
    for name, n in step.names.items():
        if isinstance(values[n], Traced):
            trace.names[prefix + name] = values[n]
            values[n].called(prefix + name)


def _leaf(cell: Cell, node: Node, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
    """What is given for a leaf; None for another node."""
    if node.op == "input":
        return args[0]
    if node.op == "state":
        return args[1 + node.attr["k"]]
    if node.op == "side":
        return given[node.attr["name"]]
    if node.op == "time":
        return given[str(cell.time)]
    if node.op == "number":
        return node.attr["value"]
    if node.op == "parameter":
        parameter = getattr(args[-1], node.attr["name"])
        heads = cell.step.parameters[node.attr["name"]].heads
        return parameter.blocks(heads) if heads > 1 else parameter
    return None


def _apply(node: Node, args: list[Any], sizes: Mapping[str, Any]) -> Any:
    if node.op in OPERATORS:
        return OPERATORS[node.op](*args)
    if node.op == "expand":
        return _expand(node, args[0], sizes)
    if node.op == "slice":
        return _slice(node, args[0], sizes)
    attr = {name: value for name, value in node.attr.items() if name != "heads"}
    return getattr(functions, node.op)(*args, **attr)


def _expand(node: Node, row: Any, sizes: Mapping[str, Any]) -> Any:
    if not isinstance(row, Value):
        return row.repeat_interleave(node.width.resolve(sizes) // row.shape[-1], -1)
    trace, width = row.trace, _dimension(node.width, sizes)
    trace.expanded.append((row.width, width, trace.here()))
    return Value(trace, trace.add("expand", (row.index,), width, trace.here()))


def _slice(node: Node, row: Any, sizes: Mapping[str, Any]) -> Any:
    start, stop = (Width((), b) if isinstance(b, int) else b for b in (node.attr["start"], node.attr["stop"]))
    if not isinstance(row, Value):
        return row[..., start.resolve(sizes) : stop.resolve(sizes)]
    trace, edges = row.trace, {"start": _dimension(start, sizes), "stop": _dimension(stop, sizes)}
    width = _dimension(node.width, sizes)
    return Value(trace, trace.add("slice", (row.index,), width, trace.here(), **edges))


# -- sizes: numbers on plain tensors, open dimensions while tracing


def _sizes(cell: Cell, leaves: Sequence[Any]) -> dict[str, int]:
    """The sizes that the given tensors have."""
    known: list[tuple[Width, int]] = []
    for node, leaf in zip(cell.step.nodes, leaves, strict=True):
        if node.op in ("input", "state", "side"):
            known.append((node.width, leaf.shape[-1]))
        elif node.op == "parameter":
            parameter = cell.step.parameters[node.attr["name"]]
            shape = leaf.value.shape[-len(parameter.widths) :] if parameter.widths else ()
            known += [(w, size * parameter.heads) for w, size in zip(parameter.widths, shape, strict=True)]
    sizes: dict[str, int] = {}
    for _ in cell.sizes:  # each round finds one more, where a width has several
        for width, actual in known:
            unknown = [(name, count) for name, count in width.terms if name not in sizes]
            if len(unknown) == 1:
                (name, count), others = unknown[0], {**dict.fromkeys(width.sizes, 0), **sizes}
                sizes[name] = (actual - width.resolve(others)) // count
    return sizes


def _open_sizes(cell: Cell, leaves: Sequence[Any], p: Parameters) -> dict[str, Dimension]:
    """The sizes as dimensions of the trace, equal to those of the rows that were given."""
    trace: Trace = object.__getattribute__(p, "_trace")
    sizes = {name: Dimension() for name in cell.sizes}
    for node, leaf in zip(cell.step.nodes, leaves, strict=True):
        if isinstance(leaf, Value):
            trace.unify(_dimension(node.width, sizes), leaf.width, trace.here(), f"{node.names[0]} of {cell.name}")
    return sizes


def _tie(row: Value, node: Node, sizes: Mapping[str, Dimension]) -> None:
    """The width of a product is what it was in the cell."""
    assert isinstance(node.width, Width)
    row.trace.unify(row.width, _dimension(node.width, sizes), row.trace.here(), "a product")


def _close_sizes(trace: Trace, sizes: Mapping[str, Dimension]) -> None:
    """Sizes of the cell's own that nothing has given keep their names."""
    for name, size in sizes.items():
        if name not in ("input_size", "hidden_size") and size.known is None:
            trace.unify(size, Dimension(Width.of(name)), trace.here(), name)


def _dimension(width: Width, sizes: Mapping[str, Dimension]) -> Dimension:
    """A width in dimensions of the trace."""
    if not width.terms:
        return Dimension(width)
    plus = [sizes[name] for name, count in width.terms for _ in range(count)]
    minus = [sizes[name] for name, count in width.terms for _ in range(-count)]
    if width.constant:
        (plus if width.constant > 0 else minus).append(Dimension(Width((), abs(width.constant))))
    if len(plus) == 1 and not minus:
        return plus[0]
    return Dimension(parts=plus, minus=Dimension(parts=minus) if minus else None)
