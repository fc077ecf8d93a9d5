"""`print(cell)`: the equations as they are written, what they say, and what is derived from them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carousel.graph.notation.latex import latex

if TYPE_CHECKING:
    from carousel.graph.cell import Cell


def show(cell: Cell) -> str:
    """A cell as text: equations, states, side inputs, options, parameters with shapes, and what is derived.

    >>> from carousel.cells import elman
    >>> print(show(elman))
    elman: Simple recurrent network (Elman, 1990).
    <BLANKLINE>
        h = f(p.W @ x + p.U @ h + p.b)
        return h
    <BLANKLINE>
    input        x (input_size)
    states       h (hidden_size)
    options      f=tanh
    parameters   W (hidden_size, input_size)
                 U (hidden_size, hidden_size)
                 b (hidden_size,)
    <BLANKLINE>
    ...
    """
    from carousel.graph.passes.describing import describe  # it stands above this module: it needs the passes

    title = f"{cell.name}: {cell.doc.splitlines()[0]}" if cell.doc else cell.name
    table = "\n".join(line for label, entries in _table(cell) for line in _row(label, entries))
    return "\n\n".join([title, textwrap.indent(cell.equations, "    "), table, describe(cell)])


def equations(cell: Cell) -> str:
    """The body of the function as written; where its source is not at hand, the equations in LaTeX."""
    return written(cell.fn) or latex(cell)


def written(fn: Callable[..., Any]) -> str | None:
    """The body of a function as written, or None where its source is not at hand."""
    try:
        source = textwrap.dedent(inspect.getsource(fn))
        function = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    if body[0].lineno == function.lineno:  # def f(x, h, p): return ...
        return "\n".join(ast.unparse(statement) for statement in body)
    return textwrap.dedent("\n".join(lines))


def _table(cell: Cell) -> list[tuple[str, list[str]]]:
    nodes, step = cell.step.nodes, cell.step
    rows = [("input", [f"{cell.input} ({nodes[0].width})"])]
    rows.append(("states", [_state(cell, k) for k in range(len(cell.states))]))
    if step.output not in step.outputs:
        rows.append(("output", [f"({nodes[step.output].width}), does not recur"]))
    rows.append(("side inputs", [_side(cell, name) for name in cell.sides]))
    if cell.time is not None:
        rows.append(("step index", [cell.time]))
    rows.append(("options", [f"{k}={getattr(v, '__name__', repr(v))}" for k, v in cell.options.items()]))
    rows.append(("parameters", [_parameter(cell, name) for name in step.parameters]))
    return rows


def _row(label: str, entries: list[str]) -> list[str]:
    return [f"{label if k == 0 else '':13}{entry}" for k, entry in enumerate(entries)]


def _state(cell: Cell, k: int) -> str:
    name = cell.states[k]
    start = f", starts from {cell.initial[name]:g}" if cell.initial[name] else ""
    return f"{name} ({cell.step.nodes[cell.step.outputs[k]].width}){start}"


def _side(cell: Cell, name: str) -> str:
    side = cell.sides[name]
    when = "at each step" if side.kind == "step" else "once a sequence"
    kind = "" if side.keep is None else f", a mask that keeps {side.keep:g}"
    return f"{name} ({side.width}), {when}{kind}"


def _parameter(cell: Cell, name: str) -> str:
    parameter = cell.step.parameters[name]
    fixed = cell.fixed_value(name)
    return f"{name} {parameter.symbolic()}" + ("" if fixed is None else f", fixed at {fixed:g}")
