"""One page that compares all registered cells in a table."""

from __future__ import annotations

from carousel import cells
from carousel.cells.registry import Entry
from carousel.pages.facts import Facts, facts_of
from carousel.pages.markup import document, inline, table, text
from carousel.pages.speed import NOTHING, Speed, Speeds

HEAD = (
    *("cell", "year", "what it is, and is known for", "states", "gates", "parameters", "products that wait"),
    *("of torch.nn.LSTM", "of our LSTM", "tested against"),
)
SHAPE = (100, 16, 64, 128)


def html_index(speeds: Speeds = NOTHING) -> str:
    """The table of all registered cells, oldest first, each linked to NAME.html, as the text of an HTML file.

    >>> '<a href="lstm.html">' in html_index()
    True
    """
    lines = [_line(entry, facts_of(entry.cell), speeds) for entry in cells.entries()]
    body = (
        f"<h1>Memory cells <small>{len(lines)}</small></h1>{_legend(speeds)}{table(HEAD, lines, numbers=(5, 6, 7, 8))}"
    )
    return document("Carousel: memory cells", body, "index")


def _legend(speeds: Speeds) -> str:
    measured = f"{text(speeds.about)}, (T, B, D, H) = {SHAPE}" if speeds.cells else "not measured yet"
    return (
        "<p>Each is written once, as its equations; gradients, programs and this page are derived from them. "
        "<em>gates</em> are found in the equations. <em>parameters</em>: with 64 inputs and 128 hidden units. "
        "<em>products that wait</em>: matrix products of a step that read the state before, so that they cannot be "
        "computed for all steps at once. <em>of torch.nn.LSTM</em>, <em>of our LSTM</em>: time forward / forward and "
        f"backward over theirs, below 1 is faster ({measured}).</p>"
    )


def _line(entry: Entry, found: Facts, speeds: Speeds) -> list[str]:
    shown = {one.mode: one for one in speeds.of(entry.name) if one.shape == SHAPE}
    gates = "–" if found.gates is None else ", ".join(found.gates) or "none"
    return [
        f'<a href="{entry.name}.html"><code>{text(entry.name)}</code></a>{_layer(entry)}',
        str(entry.year),
        f"{inline(found.title)} <small>Known for {inline(found.page.known_for)}</small>",
        text(", ".join(found.states)),
        text(gates),
        "–" if found.parameters is None else f"{found.parameters:,}",
        "–" if found.products is None else str(found.products),
        _both(shown, "to_torch"),
        _both(shown, "to_lstm"),
        inline(found.page.tested_against),
    ]


def _layer(entry: Entry) -> str:
    """The layer, where it is another than most have."""
    return "" if entry.layer == "Recurrent" else f"<br><small>in {entry.layer}</small>"


def _both(shown: dict[str, Speed], what: str) -> str:
    """Two ratios, or that there are none."""
    if not shown:
        return "<small>not<br>measured<br>yet</small>"
    return " / ".join(f"{getattr(shown[m], what):.2f}" if m in shown else "–" for m in ("forward", "training"))
