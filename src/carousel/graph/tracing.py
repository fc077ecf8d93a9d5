"""Tracing: while the cell's function runs, each operation becomes a node, and names are read from its frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, NoReturn

from carousel.errors import CellError
from carousel.graph import values
from carousel.graph.places import Place, callers, definition_of, place_of
from carousel.graph.step import Node, Parameter, Step
from carousel.graph.widths import Dimension, Unifier, Width, WidthMismatch


def complain(cell: str, place: Place, what: str, found: str = "", expected: str = "", fix: str = "") -> NoReturn:
    """Raise the CellError: what is wrong, where, what was found, what was expected, and the fix."""
    parts = [f"{cell}: {what}", place.marked()]
    for label, text in (("found", found), ("expected", expected), ("fix", fix)):
        if text:
            parts.append(f"  {label}: {text}")
    raise CellError("\n".join(parts))


@dataclass
class Draft:
    """A node while its width may still be open."""

    op: str
    args: tuple[int, ...]
    width: Dimension | tuple[Dimension, Dimension]
    attr: dict[str, Any]
    place: Place
    inlined: bool
    names: list[str] = field(default_factory=list)


@dataclass
class Call:
    """A cell's function being traced: the outermost one, or a cell called inside it."""

    code: CodeType
    prefix: str
    frame: FrameType | None = None


class Trace:
    """One tracing in progress."""

    def __init__(self, name: str, code: CodeType, shapes: Mapping[str, tuple[int | str, ...]]):
        self.name = name
        self.place = definition_of(code)
        self.drafts: list[Draft] = []
        self.parameters: dict[str, values.Expression] = {}
        self.declared = dict(shapes)
        self.names: dict[str, values.Traced] = {}
        self.unifier = Unifier()
        self.expanded: list[tuple[Dimension, Dimension, Place]] = []
        self.measured: list[int] = []  # rows of which only the width was used
        self.inner_widths: list[tuple[values.Value, Width]] = []
        self.inherited: dict[str, dict[str, Any]] = {"init": {}, "fixed": {}, "initial": {}}
        self._calls = [Call(code, "")]
        self._prefixes: dict[str, int] = {}

    # -- what happens as operations come in

    def here(self) -> Place:
        """The place of the user's code that runs now; on the way, reads the names that it has given to values."""
        frames = callers()
        calls = list(self._calls)
        for frame in frames:
            if calls and frame.f_code is calls[-1].code:
                call = calls.pop()
                call.frame = frame
        for call in self._calls:
            self._read_names(call)
        return place_of(frames[0]) if frames else self.place

    def _read_names(self, call: Call) -> None:
        if call.frame is None:
            return
        for key, value in call.frame.f_locals.items():
            name = call.prefix + key
            if isinstance(value, values.Traced) and value.trace is self and self.names.get(name) is not value:
                self.names[name] = value
                value.called(name)

    @contextmanager
    def inside(self, name: str, code: CodeType) -> Iterator[str]:
        """Trace a cell's function that is called inside this one; its quantities become `name.f`."""
        self.here()
        outer = self._calls[-1].prefix + name
        self._prefixes[outer] = self._prefixes.get(outer, 0) + 1
        prefix = (outer if self._prefixes[outer] == 1 else f"{outer}_{self._prefixes[outer]}") + "."
        self._calls.append(Call(code, prefix))
        yield prefix
        self._read_names(self._calls.pop())

    def finish_names(self) -> None:
        """Read the names that the function gave after its last operation."""
        self._read_names(self._calls[0])
        self._calls[0].frame = None

    def add(self, op: str, args: Iterable[int], width: Any, place: Place, **attr: Any) -> int:
        """A new node; returns its index."""
        self.drafts.append(Draft(op, tuple(args), width, attr, place, inlined=len(self._calls) > 1))
        return len(self.drafts) - 1

    def fail(self, place: Place, what: str, found: str = "", expected: str = "", fix: str = "") -> NoReturn:
        """Raise a CellError that points at `place`."""
        outer = self._calls[0].frame
        if len(self._calls) > 1 and outer is not None:
            call = place_of(outer)
            what += f" (in {self._calls[-1].prefix[:-1]}, called at line {call.line}: {call.source.strip()})"
        complain(self.name, place, what, found, expected, fix)

    def unify(self, left: Dimension, right: Dimension, place: Place, what: str) -> None:
        """Two widths that must be equal, or a CellError that tells how each came to be what it is."""
        try:
            self.unifier.unify(left, right, place)
        except WidthMismatch:
            self.mismatch(left, right, place, what)

    def mismatch(self, left: Dimension, right: Dimension, place: Place, what: str) -> NoReturn:
        """Two widths differ."""
        self.fail(
            place,
            f"{what}: the widths differ",
            found=f"{left.known} on the left{self._through(left, place)}\n"
            f"     and {right.known} on the right{self._through(right, place)}",
            expected="rows of one width (only what is literally one wide broadcasts)",
            fix="where a matrix product was meant write p.W @ x, not p.W * x; where both are meant to be equally "
            f"wide, declare it: @cell(widths={{{self._remedy(left, right)}}})",
        )

    def _remedy(self, left: Dimension, right: Dimension) -> str:
        widths = [str(dimension.known) for dimension in (left, right)]
        if "input_size" not in widths:
            return f'"<name>": "{widths[0]}"'
        widths.remove("input_size")
        return f'"{self.drafts[0].names[0]}": "{widths[0]}"'

    def _through(self, dimension: Dimension, place: Place) -> str:
        lines = [other for other in self.unifier.history(dimension) if other.line != place.line]
        return "".join(f"\n      through line {other.line}: {other.source.strip()}" for other in lines)

    # -- the finished step

    def reaching(self, ends: Iterable[int]) -> set[int]:
        """The nodes from which one of `ends` is computed, the ends included."""
        found: set[int] = set()
        todo = list(ends)
        while todo:
            node = todo.pop()
            if node not in found:
                found.add(node)
                todo.extend(self.drafts[node].args)
        return found

    def close_widths(self, default: Width) -> None:
        """Settle every width; what the equations leave open is `default`."""
        dimensions: list[Any] = [draft.width for draft in sorted(self.drafts, key=lambda draft: draft.op != "state")]
        dimensions += [expression.dimensions for expression in self.parameters.values()]
        flat = [d for given in dimensions for d in (given if isinstance(given, tuple) else (given,))]
        self._solve()
        for dimension in flat:
            if dimension.known is None:
                self.unifier.pin(dimension, default)
                self._solve()

    def _solve(self) -> None:
        failed = self.unifier.solve()
        if failed is not None:
            self.mismatch(*failed, what="sum of widths")

    def step(self, outputs: tuple[int, ...], output: int) -> Step:
        """The step, without the nodes that reach no output; its leaves stay, used or not."""
        kept = self.reaching([*outputs, output])
        kept |= {k for k, draft in enumerate(self.drafts) if draft.op in ("input", "state", "side", "time")}
        order = {old: new for new, old in enumerate(sorted(kept))}
        nodes = [self._node(self.drafts[old], order) for old in order]
        named = {name: value.node() for name, value in self.names.items()}
        names = {name: order[index] for name, index in named.items() if index in order}
        parameters = {name: self._parameter(name, value) for name, value in self.parameters.items()}
        return Step(nodes, tuple(order[k] for k in outputs), order[output], names, parameters)

    def _node(self, draft: Draft, order: Mapping[int, int]) -> Node:
        attr = {key: _settled(value) for key, value in draft.attr.items()}
        args = tuple(order[k] for k in draft.args)
        return Node(draft.op, args, _settled(draft.width), attr, draft.names, draft.place)

    def _parameter(self, name: str, value: values.Expression) -> Parameter:
        assert value.kind is not None
        return Parameter(name, value.kind, _settled(value.dimensions), value.heads, value.first_use)


def _settled(value: Any) -> Any:
    """The same with every dimension replaced by its width."""
    if isinstance(value, tuple):
        return tuple(_settled(part) for part in value)
    if isinstance(value, Dimension):
        assert value.known is not None
        return value.known
    return value
