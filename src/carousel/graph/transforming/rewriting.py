"""Cells made from cells: a step is copied node by node, with changes.

What is made stands for itself: it has a step like every cell, so that all engines run it, and it can be changed again.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from carousel.graph import storing
from carousel.graph.arguments import RESERVED_SIDES, Side
from carousel.graph.cell import Cell
from carousel.graph.step import Node, Parameter, Step
from carousel.graph.tracing import Trace
from carousel.graph.transforming.replay import name_values, replay
from carousel.graph.values import Parameters
from carousel.graph.widths import ONE, Width


class Rewriting:
    """A copy of a cell's step in the making.

    `moved[n]` is where old node n is read from in the copy; `outputs`, `output` and `names` of the step follow it,
    unless they are set here.
    """

    def __init__(self, cell: Cell):
        self.cell, self.old = cell, cell.step
        self.nodes: list[Node] = []
        self.moved: dict[int, int] = {}
        self.outputs: dict[int, int] = {}
        self.output: int | None = None
        self.names: dict[str, int] = {}
        self.sides, self.parameters, self.init = dict(cell.sides), dict(cell.step.parameters), dict(cell.init)

    def copying(self) -> Iterator[int]:
        """Copies the old nodes one after the other, and stops after each for changes."""
        for n in range(len(self.old.nodes)):
            self.copy(n)
            yield n

    def copy(self, n: int, *args: int) -> None:
        """Copies old node n, with other operands if they are given."""
        node = self.old.nodes[n]
        operands = args or tuple(self.moved[a] for a in node.args)
        self.nodes.append(Node(node.op, operands, node.width, dict(node.attr), list(node.names), node.where))
        self.moved[n] = len(self.nodes) - 1

    def add(self, op: str, *args: int, width: Width | None = None, **attr: Any) -> int:
        """A new node, as wide as its widest operand if nothing else is said."""
        if width is None:
            width = next((w for a in args if (w := self.nodes[a].width) != ONE), ONE)
        self.nodes.append(Node(op, args, width, attr, [], None))
        return len(self.nodes) - 1

    def replace(self, n: int, new: int) -> None:
        """Whatever reads old node n from here on reads `new`, which takes its names if they mean a result."""
        if self.old.nodes[n].op not in ("input", "state", "side"):
            self.nodes[new].names = list(self.old.nodes[n].names)
        self.moved[n] = new

    def name(self, n: int, name: str) -> int:
        """Gives new node n a name, by which it can be recorded; returns n."""
        self.nodes[n].names.append(name)
        self.names[name] = n
        return n

    def mask(self, name: str, width: Width, kind: str, keep: float, scaled: bool) -> int:
        """A new mask, a side input of the cell. Raises ValueError if the name is taken."""
        if name in (*self.sides, *self.old.names, *RESERVED_SIDES):
            raise ValueError(f"{self.cell.name} has {name} already: each quantity is dropped once.")
        self.sides[name] = Side(kind, str(width), keep, scaled)
        return self.name(self.add("side", width=width, name=name), name)

    def vector(self, name: str, width: Width, start: float) -> int:
        """A new parameter."""
        if name in self.parameters:
            name = next(f"{name}_{k}" for k in itertools.count(2) if f"{name}_{k}" not in self.parameters)
        self.parameters[name] = Parameter(name, "vector", (width,), 1, None)
        self.init[name] = start
        n = self.add("parameter", width=width, name=name)
        self.nodes[n].names.append(name)
        return n

    def step(self) -> Step:
        """The finished step."""
        outputs = tuple(self.outputs.get(k, self.moved[n]) for k, n in enumerate(self.old.outputs))
        output = self.moved[self.old.output] if self.output is None else self.output
        names = {**{name: self.moved[n] for name, n in self.old.names.items()}, **self.names}
        for name, n in zip(self.cell.states, outputs, strict=True):
            names[name] = n
            if name not in self.nodes[n].names:
                self.nodes[n].names.append(name)
        return Step(self.nodes, outputs, output, names, self.parameters)


@dataclass(frozen=True)
class How:
    """A transform as it was called: `name(cell, *args, **keywords)`."""

    name: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]


TRANSFORMS: dict[str, Callable[..., Cell]] = {}


def transform(function: Callable[..., Cell]) -> Callable[..., Cell]:
    """Registers a transform by its name, by which pickled cells find it again; TypeError for what has no step."""

    @functools.wraps(function)
    def checked(cell: Cell, /, *args: Any, **keywords: Any) -> Cell:
        if not isinstance(cell, Cell):
            kind = type(cell).__name__
            raise TypeError(f"{function.__name__}: a {kind} was given, expected a cell made by @carousel.cell.")
        return function(cell, *args, **keywords)

    TRANSFORMS[function.__name__] = checked
    return checked


class Transformed(Cell):
    """A cell that a transform made of the cell `inner`."""

    inner: Cell
    how: How

    @classmethod
    def of(cls, rewriting: Rewriting, how: How, note: str) -> Transformed:
        """The finished cell; `note` says below the equations what was changed."""
        inner = rewriting.cell
        cell = cls.stored(
            equations=f"{inner.equations}\n\n{how.name}: {note}",
            name=f"{how.name}({inner.name})",
            doc=inner.doc,
            input=inner.input,
            states=inner.states,
            sides=rewriting.sides,
            time=inner.time,
            options=inner.options,
            step=rewriting.step(),
            sizes=inner.sizes,
            repeats=inner.repeats,
            initial=inner.initial,
            init=rewriting.init,
            fixed=inner.fixed,
        )
        assert isinstance(cell, Transformed)
        cell.inner, cell.how, cell.declared = inner, how, inner.declared
        return cell

    @property
    def fn(self) -> Callable[..., Any]:
        """The function with the equations that were transformed."""
        return self.inner.fn

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """One step, as of every cell: `cell(x, *states, p, **sides)`, masks among the side inputs."""
        self._check_call(args, keywords)
        options = {name: value for name, value in keywords.items() if name in self.options}
        if options:
            rest = {name: value for name, value in keywords.items() if name not in options}
            return self.with_(**options)(*args, **rest)
        p = args[-1]
        if isinstance(p, Parameters):
            returned = self._inlined(object.__getattribute__(p, "_trace"), args, keywords)
        else:
            returned, _ = replay(self, args, keywords)
        return returned[0] if len(returned) == 1 else tuple(returned)

    def _inlined(self, trace: Trace, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[Any]:
        scalars = {name: () for name, parameter in self.step.parameters.items() if parameter.kind == "scalar"}
        trace.declared = {**scalars, **trace.declared}
        with trace.inside(self.name, replay.__code__) as prefix:
            returned, values = replay(self, args, keywords)
            name_values(trace, prefix, self.step, values)
        self._hand_on(trace, prefix, args)
        return returned

    def with_(self, **options: Any) -> Cell:
        """The cell with other options, transformed in the same way."""
        return TRANSFORMS[self.how.name](self.inner.with_(**options), *self.how.args, **self.how.keywords)

    def __reduce__(self) -> Any:
        how = (self.how.name, self.how.args, dict(self.how.keywords))
        return _restore, (json.dumps(storing.to_data(self)), self.inner, how)


def _restore(stored: str, inner: Cell, how: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Cell:
    """The transformed cell if its cell and the transform are still the same, else the one that was stored."""
    data, (name, args, keywords) = json.loads(stored), how
    if name in TRANSFORMS:
        cell = TRANSFORMS[name](inner, *args, **keywords)
        if storing.to_data(cell) == data:
            return cell
    return storing.from_data(data)
