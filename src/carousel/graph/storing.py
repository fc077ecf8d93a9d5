"""A cell as plain data, for pickles and model folders: it loads where its source is not, and nothing of it is run.

What is stored is the traced step, so that a stored cell runs on every engine; only what needs the Python function
(other options, a call on plain tensors, use inside another cell) asks for the source again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from carousel.errors import CellError
from carousel.graph.arguments import Side
from carousel.graph.step import Node, Parameter, Step
from carousel.graph.widths import Width

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

FORMAT = 1


def to_data(cell: Cell) -> dict[str, Any]:
    """The cell as a dictionary of strings, numbers and lists.

    >>> from carousel.cells import elman
    >>> from_data(to_data(elman)).shapes(input_size=3, hidden_size=5)
    {'W': (5, 3), 'U': (5, 5), 'b': (5,)}
    """
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
        "initial": cell.initial,
        "init": {pattern: _start_data(value) for pattern, value in cell.init.items()},
        "fixed": cell.fixed,
        "equations": cell.equations,
        "nodes": [[n.op, list(n.args), _width_data(n.width), _attr_data(n.attr), n.names] for n in step.nodes],
        "outputs": list(step.outputs),
        "output": step.output,
        "names": step.names,
        "parameters": [[p.name, p.kind, [str(w) for w in p.widths], p.heads] for p in step.parameters.values()],
    }


def from_data(data: dict[str, Any]) -> Cell:
    """The cell of `to_data`. Raises CellError for data of another format."""
    from carousel.graph.cell import Cell

    if data.get("format") != FORMAT:
        raise CellError(
            f"a stored cell has format {data.get('format')!r}, expected {FORMAT}: it was written by another version."
        )
    nodes = [Node(op, tuple(a), _width(w), _attr(attr), list(names), None) for op, a, w, attr, names in data["nodes"]]
    parameters = {
        n: Parameter(n, kind, tuple(map(_read, ws)), heads, None) for n, kind, ws, heads in data["parameters"]
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
        repeats=[(_read(few), _read(many)) for few, many in data["repeats"]],
        initial=dict(data["initial"]),
        init={pattern: _start(value) for pattern, value in data["init"].items()},
        fixed=dict(data["fixed"]),
        equations=data["equations"],
    )


def _read(text: str) -> Width:
    """A width from its text, which may hold differences."""
    total = Width()
    for part in text.replace("- ", "+ -").split("+"):
        part = part.strip()
        if part.lstrip("-") != "0":
            total = total - Width.of(part[1:]) if part.startswith("-") else total + Width.of(part)
    return total


def _width_data(width: Any) -> Any:
    return [str(w) for w in width] if isinstance(width, tuple) else str(width)


def _width(data: Any) -> Any:
    return tuple(map(_read, data)) if isinstance(data, list) else _read(data)


def _option_data(value: Any) -> str:
    return value if isinstance(value, str) else str(getattr(value, "__name__", repr(value)))


def _attr_data(attr: dict[str, Any]) -> dict[str, Any]:
    return {k: {"width": str(v)} if isinstance(v, Width) else v for k, v in attr.items()}


def _attr(data: dict[str, Any]) -> dict[str, Any]:
    return {k: _read(v["width"]) if isinstance(v, dict) else v for k, v in data.items()}


def _start_data(value: Any) -> Any:
    return {"function": getattr(value, "__name__", repr(value))} if callable(value) else value


def _start(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    name = data["function"]
    found = getattr(torch.nn.init, name, None)
    return found if callable(found) and name.endswith("_") else _lost(name)


def _lost(name: str) -> Callable[..., Any]:
    def missing(tensor: Any) -> Any:
        raise CellError(
            f"the initialiser {name!r} was not stored with the cell; load weights, or use the cell's source."
        )

    return missing
