"""A cell's page in a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from carousel.graph import Cell
from carousel.graph.notation.latex import Formulas
from carousel.graph.notation.typeset import plain_text
from carousel.pages.facts import facts_of, parameters_of

NARROWEST = 32


def text_page(cell: Any, width: int = 100, **sizes: int) -> str:
    """The page of a cell as text of at most so many columns, where its words can be broken.

    >>> import carousel as ca
    >>> print(text_page(ca.cells.elman, width=72))
    elman, 1990
    The simple recurrent network.
    ...
        h_t = f(W x_t + U h_{t-1} + b)
    ...
    """
    found = facts_of(cell, **sizes)
    width = max(width, NARROWEST)
    page = found.page
    title = found.name if found.year is None else f"{found.name}, {found.year}"
    parts = [f"{title}\n{_wrapped(found.title, width)}".strip(), _wrapped(page.sources, width)]
    equations = (page.equations or plain_equations(cell)).splitlines()
    parts.append("\n".join(_wrapped(line, width, " " * 12, "    ") for line in equations))
    parts.append("\n".join(_wrapped(line, width) for line in page.notes.splitlines()))
    parts.append("\n".join(line for label, words in _table(cell, found) for line in _row(label, words, width)))
    said = {"Known for": page.known_for, "Deviates": page.deviates, "Oracle": page.oracle}
    parts.append("\n".join(_wrapped(f"{label}: {words}", width, "  ") for label, words in said.items() if words))
    parts.append("\n".join(_wrapped(line, width, "  ") for line in derived(cell).splitlines()))
    return "\n\n".join(part for part in parts if part.strip())


def plain_equations(cell: Any) -> str:
    """The equations in one line each, from the step graph; a cell without one shows its function."""
    if not isinstance(cell, Cell):
        return str(cell.equations)
    return "\n".join(plain_text(f"{left} = {right}") for left, right in Formulas(cell).equations())


def derived(cell: Any) -> str:
    """What the native engine does with the cell; nothing for one that is no step graph."""
    if not isinstance(cell, Cell):
        return ""
    from carousel.graph.passes.describing import describe

    return describe(cell)


def _table(cell: Any, found: Any) -> list[tuple[str, list[str]]]:
    """Labels, each with its lines."""
    at = ", ".join(f"{name} {size}" for name, size in found.sizes.items())
    number = f"{found.parameters:,}" if found.parameters is not None else found.misfit
    rows = [("layer", [f"carousel.{found.layer}"])]
    rows.append(("states", [f"{n} ({shape})" + starts(cell, n) for n, shape in found.states.items()]))
    rows.append(("side inputs", [f"{name} ({side.width})" for name, side in cell.sides.items()]))
    rows.append(("options", [f"{k}={getattr(v, '__name__', repr(v))}" for k, v in cell.options.items()]))
    if found.gates is not None:
        rows.append(("gates", [", ".join(found.gates) or "none"]))
    lines = [
        f"{', '.join(names)} {symbol}" + (f" = {shape}" if shape else "")
        for names, symbol, shape in parameters_of(cell, found)
    ]
    rows.append(("parameters", [f"{number} with {at}" if found.parameters is not None else number, *lines]))
    return [(label, lines) for label, lines in rows if lines]


def starts(cell: Any, state: str) -> str:
    """What a state starts from, if not from zero."""
    return f", starts from {cell.initial[state]:g}" if cell.initial[state] else ""


def _row(label: str, lines: list[str], width: int) -> list[str]:
    """A label and its lines beside it; in a narrow terminal below it."""
    if width < 60:
        return [label, *(_wrapped(line, width, "    ", "  ") for line in lines)]
    first = [f"{label if k == 0 else '':13}" for k in range(len(lines))]
    return [_wrapped(line, width, " " * 15, start) for start, line in zip(first, lines, strict=True)]


def _wrapped(text: str, width: int, indent: str = "", first: str = "") -> str:
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
