"""A cell as plain data, for pickles and model folders: it loads where its source is not, and nothing of it is run.

What is stored is the traced step, so that a stored cell runs on every engine; only what needs the Python function
(other options, a call on plain tensors, use inside another cell) asks for the source again.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from carousel.errors import CellError
from carousel.graph.arguments import Side
from carousel.graph.step import Node, Parameter, Step
from carousel.graph.widths import Width

if TYPE_CHECKING:
    from carousel.graph.tensor_cell import AnyCell, TensorCell

FORMAT = 1
_OURS = re.compile(r"(carousel\.cells\.\w+):(\w+)")
_STARTS = re.compile(r"(torch\.nn\.init|carousel\.cells\.\w+):(\w+)")


def to_data(cell: AnyCell) -> dict[str, Any]:
    """The cell as a dictionary of strings, numbers and lists.

    The function of a `TensorCell` is no data: stored are its place in `carousel.cells` and its options. Raises
    CellError for one that is elsewhere.

    >>> from carousel.cells import elman
    >>> from_data(to_data(elman)).shapes(input_size=3, hidden_size=5)
    {'W': (5, 3), 'U': (5, 5), 'b': (5,)}
    """
    from carousel.graph.cell import Cell

    if not isinstance(cell, Cell):
        return _place(cell)
    step = cell.step
    return {
        "format": FORMAT,
        "name": cell.name,
        "doc": cell.doc,
        "input": cell.input,
        "states": list(cell.states),
        "sides": {name: asdict(side) for name, side in cell.sides.items()},
        "time": cell.time,
        "options": {name: _option_data(value) for name, value in cell.options.items()},
        "sizes": list(cell.sizes),
        "repeats": [[str(few), str(many)] for few, many in cell.repeats],
        "initial": {state: _plain(value) for state, value in cell.initial.items()},
        "init": {pattern: _start_data(value) for pattern, value in cell.init.items()},
        "fixed": cell.fixed,
        "equations": cell.equations,
        "nodes": [_line(node) for node in step.nodes],
        "outputs": list(step.outputs),
        "output": step.output,
        "names": step.names,
        "parameters": {p.name: [p.kind, p.heads, *map(str, p.widths)] for p in step.parameters.values()},
    }


def _place(cell: TensorCell) -> dict[str, Any]:
    place, changed = f"{cell.fn.__module__}:{cell.fn.__qualname__}", cell.changed_options()
    if not _OURS.fullmatch(place):
        raise CellError(
            f"{cell.name} cannot be stored: it is a function on tensors, and a model folder holds data, never a "
            f"program. The registered ones can be stored, and every cell made by @carousel.cell."
        )
    for name, value in changed.items():
        if not isinstance(value, bool | int | float | str):
            raise CellError(f"{cell.name} cannot be stored: its option {name} is {value!r}, which is no plain data.")
    return {"format": FORMAT, "name": cell.name, "tensor_cell": place, "options": changed}


def _at_place(data: dict[str, Any]) -> TensorCell:
    """The cell that `_place` names; nothing outside of `carousel.cells` is looked at."""
    from carousel.graph.tensor_cell import TensorCell

    place = _OURS.fullmatch(data["tensor_cell"])
    try:
        found = getattr(importlib.import_module(place[1]), place[2]) if place else None
    except (ImportError, AttributeError):
        found = None
    if not isinstance(found, TensorCell):
        raise CellError(f"a stored cell is {data['tensor_cell']!r}, which this version of carousel does not have.")
    return found.with_(**data["options"]) if data["options"] else found


def from_data(data: dict[str, Any]) -> Any:
    """The `Cell` or `TensorCell` of `to_data`. Raises CellError for another format, or a cell that is not there."""
    from carousel.graph.cell import Cell

    if data.get("format") != FORMAT:
        raise CellError(
            f"a stored cell has format {data.get('format')!r}, expected {FORMAT}: it was written by another version."
        )
    if "tensor_cell" in data:
        return _at_place(data)
    nodes = [_node(line) for line in data["nodes"]]
    parameters = {
        name: Parameter(name, kind, tuple(map(_width, widths)), heads, None)
        for name, (kind, heads, *widths) in data["parameters"].items()
    }
    return Cell.stored(
        name=data["name"],
        doc=data["doc"],
        input=data["input"],
        states=tuple(data["states"]),
        sides={name: Side(**side) for name, side in data["sides"].items()},
        time=data["time"],
        options=dict(data["options"]),
        step=Step(nodes, tuple(data["outputs"]), data["output"], dict(data["names"]), parameters),
        sizes=tuple(data["sizes"]),
        repeats=[(_width(few), _width(many)) for few, many in data["repeats"]],
        initial={state: _number(value) for state, value in data["initial"].items()},
        init={pattern: _start(value) for pattern, value in data["init"].items()},
        fixed=dict(data["fixed"]),
        equations=data["equations"],
    )


def _line(node: Node) -> str:
    """A node as one readable line: operation and operands, width, attributes, names."""
    width = " x ".join(map(str, node.width)) if isinstance(node.width, tuple) else str(node.width)
    attr = {k: {"width": str(v)} if isinstance(v, Width) else _plain(v) for k, v in node.attr.items()}
    return " | ".join([" ".join([node.op, *map(str, node.args)]), width, json.dumps(attr), " ".join(node.names)])


def _node(line: str) -> Node:
    operation, width, attr, names = line.split(" | ")
    op, *args = operation.split()
    sides = tuple(map(_width, width.split(" x ")))
    values = {k: _width(v["width"]) if isinstance(v, dict) and "width" in v else _number(v) for k, v in _items(attr)}
    return Node(op, tuple(map(int, args)), sides if len(sides) == 2 else sides[0], values, names.split(), None)


def _items(text: str) -> Iterable[tuple[str, Any]]:
    return json.loads(text).items()


def _width(text: str) -> Width:
    """A width from its text, which may hold differences."""
    total = Width()
    for part in text.replace("- ", "+ -").split("+"):
        part = part.strip()
        if part.lstrip("-") != "0":
            total = total - Width.of(part[1:]) if part.startswith("-") else total + Width.of(part)
    return total


def _plain(value: Any) -> Any:
    """A number for JSON, which knows no infinities."""
    return {"number": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value["number"]) if isinstance(value, dict) and "number" in value else value


def _option_data(value: Any) -> str:
    return value if isinstance(value, str) else str(getattr(value, "__name__", repr(value)))


def _start_data(value: Any) -> Any:
    """A function by its place, with the keywords that `functools.partial` gave it."""
    if not callable(value):
        return _plain(value)
    function, keywords = (value.func, value.keywords) if isinstance(value, partial) else (value, {})
    place = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', function)}"
    return {"function": place, "keywords": {name: _plain(given) for name, given in keywords.items()}}


def _start(data: Any) -> Any:
    if not isinstance(data, dict) or "function" not in data:
        return _number(data)
    place = _STARTS.fullmatch(data["function"])
    try:
        function = getattr(importlib.import_module(place[1]), place[2]) if place else None
    except (ImportError, AttributeError):
        function = None
    if not callable(function):
        return _lost(data["function"])
    keywords = {name: _number(given) for name, given in data["keywords"].items()}
    return partial(function, **keywords) if keywords else function


def _lost(place: str) -> Callable[..., Any]:
    def missing(tensor: Any) -> Any:
        raise CellError(
            f"parameters cannot be drawn anew: the function {place} that starts them was not stored with the cell. "
            f"Use the cell's source, or carousel.layers.initial.undrawn() around what makes the layer to load weights."
        )

    missing.__name__ = place.rpartition(":")[2]
    return missing
