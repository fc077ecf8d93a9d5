"""What is known of a cell: from its entry in the registry where it has one, the rest from its equations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from carousel import cells
from carousel.cells.page import Page, read_page
from carousel.graph import Cell
from carousel.graph.levels import LOOP, levels
from carousel.graph.notation.gates import gates

SIZES = {"input_size": 64, "hidden_size": 128}


@dataclass(frozen=True)
class Facts:
    """A cell in numbers and words.

    Attributes:
        name, title: what it is called, and one sentence.
        year: of publication; None for a cell that is not registered.
        layer: the layer of carousel that runs it.
        states: what each state is called, with its widths in symbols.
        gates: what each gate is called; None where the equations are no step graph, so that it is not known.
        sizes: the sizes for which `parameters` counts.
        parameters: how many numbers are learned (of convolutions, with kernels of one position); None where the sizes
            do not fit the cell, for the reason `misfit`.
        products: how many matrix products of a step wait for the state before; None as for gates.
        page: what the file says.
    """

    name: str
    title: str
    year: int | None
    layer: str
    states: dict[str, str]
    gates: tuple[str, ...] | None
    sizes: dict[str, int]
    parameters: int | None
    misfit: str
    products: int | None
    page: Page

    def as_data(self) -> dict[str, Any]:
        """As strings, numbers, lists and dictionaries."""
        page = asdict(self.page)
        found = {key: value for key, value in asdict(self).items() if key not in ("page", "misfit")}
        return {**found, "tested_against": self.page.tested_against, **{k: page[k] for k in ("known_for", "sources")}}


def facts_of(cell: Any, **sizes: int) -> Facts:
    """What is known of a cell, registered or not. Sizes that are not given are chosen.

    >>> import carousel as ca
    >>> found = facts_of(ca.cells.lstm)
    >>> found.year, found.gates, found.parameters, found.products
    (2000, ('f', 'i', 'o'), 98816, 4)
    """
    entry = next((entry for entry in cells.entries() if entry.cell is cell), None)
    page = entry.page if entry else page_of(cell)
    chosen = sizes_for(cell, sizes)
    parameters, misfit = count(cell, chosen)
    return Facts(
        name=cell.name,
        title=page.title,
        year=entry.year if entry else None,
        layer=entry.layer if entry else "Recurrent",
        states=states_of(cell),
        gates=tuple(gates(cell)) if isinstance(cell, Cell) else None,
        sizes=chosen,
        parameters=parameters,
        misfit=misfit,
        products=products(cell) if isinstance(cell, Cell) else None,
        page=page,
    )


def page_of(cell: Any) -> Page:
    """The docstring of a user's file if it is a page as those of registered cells are; else the cell's docstring."""
    written = cell.fn.__globals__.get("__doc__") if getattr(cell, "_source", cell) is not None else None
    page = read_page(written or "")
    if page.known_for or page.oracle:
        return page
    return read_page(cell.doc)


def sizes_for(cell: Any, given: Mapping[str, int]) -> dict[str, int]:
    """A size for each of the cell's: as given, else 64 and 128, 8 static attributes, blocks of four, else half as many.

    >>> import carousel as ca
    >>> sizes_for(ca.cells.projected_lstm, {"hidden_size": 100})
    {'input_size': 64, 'hidden_size': 100, 'proj_size': 50}
    """
    hidden = given.get("hidden_size", SIZES["hidden_size"])
    known = {**SIZES, "hidden_size": hidden, "static_size": 8, "blocks": max(1, hidden // 4)}
    sizes = {name: given.get(name, known.get(name, max(1, hidden // 2))) for name in cell.sizes}
    if isinstance(cell, Cell) and "input_size" not in given:
        sizes["input_size"] = cell.step.nodes[0].width.resolve(sizes)  # some cells need x to be as wide as a state
    return sizes


def count(cell: Any, sizes: Mapping[str, int]) -> tuple[int | None, str]:
    """How many numbers are learned, or None and why the sizes do not fit."""
    try:
        shapes = cell.shapes(**sizes)
    except ValueError as misfit:
        return None, str(misfit)
    return sum(math.prod(shape) for name, shape in shapes.items() if cell.fixed_value(name) is None), ""


def states_of(cell: Any) -> dict[str, str]:
    """The shape of each state of one row, in symbols."""
    if isinstance(cell, Cell):
        return {n: str(cell.step.nodes[k].width) for n, k in zip(cell.states, cell.step.outputs, strict=True)}
    return {name: ", ".join(map(str, shape)) for name, shape in cell.declared.states.items()}


def parameters_of(cell: Any, found: Facts) -> list[tuple[list[str], str, str]]:
    """Parameters of one shape together: names, shape in symbols (and at what they are fixed), shape for the sizes."""
    if isinstance(cell, Cell):
        symbols = {name: parameter.symbolic() for name, parameter in cell.step.parameters.items()}
    else:
        symbols = {name: f"({', '.join(map(str, shape))})" for name, shape in cell.declared.shapes.items()}
    shapes = {} if found.parameters is None else cell.shapes(**found.sizes)
    groups: dict[tuple[str, str], list[str]] = {}
    for name, symbol in symbols.items():
        fixed = cell.fixed_value(name)
        key = symbol + ("" if fixed is None else f", fixed at {fixed:g}"), str(shapes.get(name, ""))
        groups.setdefault(key, []).append(name)
    return [(names, symbol, shape) for (symbol, shape), names in groups.items()]


def products(cell: Cell) -> int:
    """How many matrix products of a step read a state, directly or through what is computed from one."""
    level = levels(cell.step, cell.sides)
    return len({node.args for n, node in enumerate(cell.step.nodes) if node.op == "matmul" and level[n] == LOOP})
