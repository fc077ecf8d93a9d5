"""From a cell's function to its step: the function is run once on traced values, and what it did is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from carousel.graph.arguments import RESERVED_SIZES
from carousel.graph.places import Place
from carousel.graph.step import Step
from carousel.graph.tracing import Trace
from carousel.graph.values import Expression, Parameters, Value, describe
from carousel.graph.widths import ONE, Dimension, Width

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

CHANGING = ("input", "state", "side", "time")


@dataclass(frozen=True)
class Declarations:
    """What `@cell(...)` declares beside the equations."""

    widths: Mapping[str, int | str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    initial: Mapping[str, float] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A traced cell: its step, what cells called inside it brought along, and what sizes must satisfy."""

    step: Step
    inherited: dict[str, dict[str, Any]]
    repeats: tuple[tuple[Width, Width], ...]


def define(cell: Cell) -> Definition:
    """Trace a cell. Raises CellError for a mistake in its equations."""
    trace = Trace(cell.name, cell.fn.__code__, cell.declared.shapes)
    arguments, keywords = _leaves(cell, trace)
    returned = cell.fn(*arguments, Parameters(trace), **keywords, **cell.options)
    trace.finish_names()
    output, states = _returned(cell, trace, returned)
    _check_use(cell, trace, [value.index for value in (output, *states)])
    _unify_outputs(cell, trace, states)
    _declared_widths(cell, trace)
    trace.close_widths(Width.of("hidden_size"))
    for name, value in zip(cell.states, states, strict=True):
        trace.names[name] = value
        value.called(name)
    step = trace.step(tuple(value.index for value in states), output.index)
    repeats = tuple((a.known or ONE, b.known or ONE) for a, b, _ in trace.expanded)
    _check_sizes(cell, trace, step)
    return Definition(step, trace.inherited, repeats)


def _leaves(cell: Cell, trace: Trace) -> tuple[list[Value], dict[str, Value]]:
    """The traced values to call the function with."""
    declared = cell.declared.widths
    widths: dict[str, int | str] = {cell.input: "input_size"}
    if "hidden_size" not in declared.values():
        widths[cell.states[0]] = "hidden_size"
    widths |= declared

    def leaf(op: str, called: str, width: int | str | None, **attr: Any) -> Value:
        dimension = Dimension(None if width is None else Width.of(width))
        value = Value(trace, trace.add(op, (), dimension, trace.place, **attr))
        trace.names[called] = value
        value.called(called)
        return value

    arguments = [leaf("input", cell.input, widths[cell.input])]
    arguments += [leaf("state", name, widths.get(name), k=k) for k, name in enumerate(cell.states)]
    keywords = {name: leaf("side", name, side.width, name=name) for name, side in cell.sides.items()}
    if cell.time is not None:
        keywords[cell.time] = leaf("time", cell.time, 1)
    return arguments, keywords


def _returned(cell: Cell, trace: Trace, returned: Any) -> tuple[Value, list[Value]]:
    """The output and the new states, from what the function returned."""
    values = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    S = len(cell.states)
    if len(values) not in (S, S + 1):
        trace.fail(
            trace.place,
            f"{len(values)} returned, for {S} state{'s' if S > 1 else ''}",
            found=", ".join(map(describe, values)),
            expected=f"the new {', '.join(cell.states)}, in this order; or an output that does not recur before them",
            fix=f"return {', '.join(cell.states)}",
        )
    names = (["the output"] if len(values) > S else []) + [f"state {name}" for name in cell.states]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, Value):
            trace.fail(trace.place, f"{name} is returned as {describe(value)}", expected="a row of the step")
    states = values[-S:]
    for name, value in zip(cell.states, states, strict=True):
        _check_order(cell, trace, name, value)
    return values[0], states


def _check_order(cell: Cell, trace: Trace, name: str, value: Value) -> None:
    """A state must not come back as what the equations call by another state's name."""
    called = trace.drafts[value.index].names
    others = [other for other in cell.states if other != name and other in called]
    current = trace.names.get(name)
    if others and name not in called and current is not None and current.node() != value.index:
        trace.fail(
            trace.drafts[value.index].place,
            f"state {name} is returned as {others[0]}",
            expected=f"the states in the order of the arguments: {', '.join(cell.states)}",
            fix=f"return {', '.join(cell.states)}",
        )


def _check_use(cell: Cell, trace: Trace, outputs: list[int]) -> None:
    """Whatever is computed must reach an output, and every side input and parameter must be used."""
    _check_dead(trace, outputs)
    live = trace.reaching(outputs)
    for name, value in trace.parameters.items():
        if value.kind is None or (value.first_use is None and value.index is None and value.matrix_index is None):
            trace.fail(value.place, f"parameter {name} is named but not used", fix=f"use p.{name}, or take it out")
        if not {value.index, value.matrix_index} & live:
            trace.fail(value.first_use or value.place, f"parameter {name} reaches no output", fix="take it out")
    for index, draft in enumerate(trace.drafts):
        if draft.op in ("side", "time") and index not in live:
            trace.fail(trace.place, f"{draft.names[0]} is not used", fix="use it in the equations, or take it out")
    for name in cell.declared.shapes:
        if name not in trace.parameters and not cell.derived:
            known = ", ".join(trace.parameters) or "none"
            trace.fail(trace.place, f"shapes= names {name}, which is no parameter", expected=f"one of {known}")
    for name, index in zip(cell.states, outputs[-len(cell.states) :], strict=True):
        if not any(trace.drafts[k].op in CHANGING for k in trace.reaching([index])):
            trace.fail(
                trace.drafts[index].place,
                f"the new value of state {name} depends on nothing that changes",
                expected=f"equations that use {cell.input}, a state or a side input",
            )


def _check_dead(trace: Trace, outputs: list[int]) -> None:
    """A value that reaches no output is a mistake; the ones that a cell called inside leaves unused are not."""
    live = trace.reaching([*outputs, *trace.measured])
    used = {arg for draft in trace.drafts for arg in draft.args}
    for index, draft in enumerate(trace.drafts):
        if index in live or index in used or draft.inlined or draft.op in ("number", *CHANGING):
            continue
        name = draft.names[-1] if draft.names else "this value"
        trace.fail(
            draft.place,
            f"{name} reaches no output",
            expected="every value in a state that is returned, or in the output",
            fix="return it, use it, or take it out (a name means its last assignment)",
        )
    for name, value in trace.names.items():
        if (
            isinstance(value, Expression)
            and value.index is None
            and value.matrix_index is None
            and value.op != "parameter"
        ):
            trace.fail(value.place, f"{name} reaches no output", fix="use it, or take it out")


def _unify_outputs(cell: Cell, trace: Trace, states: list[Value]) -> None:
    for index, (name, value) in enumerate(zip(cell.states, states, strict=True)):
        before = next(d for d in trace.drafts if d.op == "state" and d.attr["k"] == index)
        assert isinstance(before.width, Dimension)
        trace.unify(before.width, value.width, trace.drafts[value.index].place, f"state {name} and its new value")


def _declared_widths(cell: Cell, trace: Trace) -> None:
    for value, inner in trace.inner_widths:
        place = trace.drafts[value.index].place
        trace.unify(value.width, Dimension(inner), place, f"{describe(value)} and its declared width")
    leaves = (cell.input, *cell.states)
    for name, width in cell.declared.widths.items():
        if name in leaves:
            continue
        quantity = trace.names.get(name)
        if not isinstance(quantity, Value):
            if not cell.derived:
                known = ", ".join(trace.names)
                trace.fail(trace.place, f"widths= names {name}, which is no quantity", expected=f"one of {known}")
            continue
        place = trace.drafts[quantity.index].place
        trace.unify(quantity.width, Dimension(Width.of(width)), place, f"{name} and its declared width")


def _check_sizes(cell: Cell, trace: Trace, step: Step) -> None:
    place: Place = trace.place
    for name in sorted(sizes_of(step)):
        if name in RESERVED_SIZES:
            trace.fail(place, f"a size cannot be called {name}", fix="rename it: the layer uses that name itself")


def sizes_of(step: Step) -> list[str]:
    """The sizes that occur in a step, in order of first use."""
    found: dict[str, None] = {}
    for node in step.nodes:
        for width in node.width if isinstance(node.width, tuple) else (node.width,):
            found |= dict.fromkeys(width.sizes)
    for parameter in step.parameters.values():
        for width in parameter.widths:
            found |= dict.fromkeys(width.sizes)
    return list(found)
