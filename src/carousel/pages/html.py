"""A cell's page as one HTML file: no script, nothing from elsewhere, light or dark as the reader's screen is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.graph import Cell
from carousel.graph.notation.drawing import draw
from carousel.graph.notation.latex import Formulas
from carousel.graph.notation.typeset import mathml_of_equations
from carousel.pages.facts import Facts, facts_of, parameters_of
from carousel.pages.markup import document, inline, rows, table, text
from carousel.pages.notation import equations_of
from carousel.pages.speed import NOTHING, Speed, Speeds
from carousel.pages.text import derived, starts

MODES = {"forward": "forward", "training": "forward and backward"}
KERNELS = {"ConvRecurrent": ", counted for kernels of one position; matrices become kernels in the layer"}
KEY = (
    '<p class="key"><span class="state">blue</span>: states · <span class="gate">orange</span>: gates · boxes: what '
    "parameters make of rows · ⊙: product element by element</p>"
)


def html_page(
    cell: Any,
    speeds: Speeds = NOTHING,
    *,
    before: str = "",
    after: str = "",
    index: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> str:
    """The page of any cell, registered or not, as the text of an HTML file.

    `before` and `after` name cells whose pages lie beside this one, and `index` says that index.html does; then the
    page links to them. Parameters are counted for `sizes`, of which those that are not given are chosen.

    >>> import carousel as ca
    >>> page = html_page(ca.cells.lstm)
    >>> "<math" in page and "<svg" in page and "<script" not in page
    True
    """
    found = facts_of(cell, **(sizes or {}))
    parts = [
        _links(before, after, index),
        f"<h1><code>{text(found.name)}</code>{f' <small>{found.year}</small>' if found.year else ''}</h1>",
        f'<p class="title">{inline(found.title)}</p>' if found.title else "",
        f'<p class="sources">{inline(found.page.sources)}</p>' if found.page.sources else "",
        _equations(cell, found),
        _flow(cell, found),
        f"<h2>In short</h2>{_facts(cell, found, speeds)}",
        _speeds(speeds, found.name) if index else "",
        f"<h2>Parameters</h2>{_parameters(cell, found)}",
        f"<h2>As it is written</h2><pre>{text(cell.equations)}</pre>",
        _use(found) if found.year else "",
        _derived(cell),
    ]
    return document(f"{found.name}: {found.title}".removesuffix(": "), "\n".join(part for part in parts if part))


def _links(before: str, after: str, index: bool) -> str:
    if not index:
        return ""
    left = f'<a href="{before}.html">← {before}</a>' if before else "<span></span>"
    right = f'<a href="{after}.html">{after} →</a>' if after else "<span></span>"
    return f'<nav>{left}<a href="index.html">all cells</a>{right}</nav>'


def _equations(cell: Any, found: Facts) -> str:
    """Typeset from the graph, and as the docstring has them in one line each; without a graph, from the docstring."""
    plain = found.page.equations
    graph = Formulas(cell, index_of(found)).equations() if isinstance(cell, Cell) else equations_of(plain)
    if graph is None:
        return f'<h2>Equations</h2><pre class="equations">{text(plain)}</pre>{_notes(found)}'
    typeset = f'<div class="wide">{mathml_of_equations(graph)}</div>'
    words = f"<details><summary>as plain text</summary><pre>{text(plain)}</pre></details>" if plain else ""
    return f"<h2>Equations</h2>{typeset}{_notes(found)}{words}"


def index_of(found: Facts) -> str:
    """The letter of the step: t, or l where steps are layers."""
    return "l" if found.layer == "InDepth" else "t"


def _notes(found: Facts) -> str:
    return f'<p class="notes">{inline(found.page.notes)}</p>' if found.page.notes else ""


def _flow(cell: Any, found: Facts) -> str:
    if not isinstance(cell, Cell):
        return ""
    return f'<h2>Data flow of one step</h2><div class="wide">{draw(cell, index=index_of(found))}</div>{KEY}'


def _facts(cell: Any, found: Facts, speeds: Speeds) -> str:
    page = found.page
    return rows(
        {
            "Known for": inline(page.known_for),
            "Deviates from the paper": inline(page.deviates),
            "Oracle": inline(page.oracle),
            "States": ", ".join(_state(cell, name, shape) for name, shape in found.states.items()),
            "Gates": _gates(found),
            "Side inputs": ", ".join(f"<code>{n}</code> ({text(str(s.width))})" for n, s in cell.sides.items()),
            "Options": ", ".join(f"<code>{text(o)}</code>" for o in options(cell)),
            "Products that wait for the state before": "" if found.products is None else str(found.products),
            "Layer": f"<code>carousel.{found.layer}</code>",
        }
    )


def _state(cell: Any, name: str, shape: str) -> str:
    return f"<code>{text(name)}</code> ({text(shape)}){text(starts(cell, name))}"


def _gates(found: Facts) -> str:
    if found.gates is None:
        return ""
    return ", ".join(f"<code>{text(gate)}</code>" for gate in found.gates) or "none"


def options(cell: Any) -> list[str]:
    """The options of a cell with their values."""
    return [f"{name}={getattr(value, '__name__', repr(value))}" for name, value in cell.options.items()]


def _speeds(speeds: Speeds, name: str) -> str:
    measured = speeds.of(name)
    if not measured:
        return "<h2>Speed</h2><p>Not measured yet.</p>"
    head = ["(T, B, D, H)", "", "milliseconds", "of torch.nn.LSTM", "of our LSTM"]
    lines = [_speed(one) for one in measured]
    note = f"<p>{text(speeds.about)}. Medians; ratios below 1 are faster.</p>"
    return f"<h2>Speed</h2>{table(head, lines, numbers=(2, 3, 4))}{note}"


def _speed(one: Speed) -> list[str]:
    shape = f"({', '.join(map(str, one.shape))})"
    return [shape, MODES[one.mode], f"{one.ms:.3g}", f"{one.to_torch:.2f}", f"{one.to_lstm:.2f}"]


def _parameters(cell: Any, found: Facts) -> str:
    at = ", ".join(f"{name} {size}" for name, size in found.sizes.items())
    number = (
        found.misfit
        if found.parameters is None
        else f"{found.parameters:,} learned with {at}{KERNELS.get(found.layer, '')}."
    )
    lines = [
        [", ".join(f"<code>{text(name)}</code>" for name in names), text(symbol), text(shape)]
        for names, symbol, shape in parameters_of(cell, found)
    ]
    return f"<p>{text(number)}</p>{table(['', 'shape', 'here'], lines)}"


def _use(found: Facts) -> str:
    return f"<h2>Use</h2><pre>{text(use(found))}</pre>"


def use(found: Facts) -> str:
    """A line of Python that makes the layer of a registered cell.

    >>> import carousel as ca
    >>> use(facts_of(ca.cells.elman))
    'layer = carousel.Recurrent(carousel.cells.elman, input_size=64, hidden_size=128)'
    """
    sizes = ", ".join(f"{name}={size}" for name, size in found.sizes.items())
    given = {
        "ConvRecurrent": "input_channels=64, hidden_channels=128, kernel_size=3",
        "InDepth": "size=128, depth=10",
        "MultiDimensional": f"{sizes}, axes=2",
    }
    return f"layer = carousel.{found.layer}(carousel.cells.{found.name}, {given.get(found.layer, sizes)})"


def _derived(cell: Any) -> str:
    said = derived(cell)
    if not said:
        return ""
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    return "<h2>What is derived</h2>" + rows({k.capitalize(): f"<code>{text(v)}</code>" for k, v in lines.items()})
