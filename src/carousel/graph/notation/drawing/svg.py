"""A cell's picture as SVG: self-contained, the same bytes every time, light or dark as the reader's screen is."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from carousel.graph.notation.drawing.flow import Box, Flow, flow_of
from carousel.graph.notation.drawing.labels import label_of, svg_text
from carousel.graph.notation.drawing.layers import Layout, lay_out

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

BETWEEN = 46.0  # columns
MARGIN = 14.0
LEAST = 0.72
STYLE = """
.carousel-flow { --ink: #1d2430; --line: #8a94a3; --weights: #eef1f5; --edge: #b9c1cc; --gate: #b3541e;
  --gate-fill: #fdeadd; --state: #1c6a8c; --state-fill: #def0f7; --paper: #ffffff; background: var(--paper);
  font: 14px Cambria, "STIX Two Text", Georgia, "Times New Roman", serif; }
@media (prefers-color-scheme: dark) { .carousel-flow { --ink: #e6e9ee; --line: #7c8796; --weights: #262d38;
  --edge: #4a5462; --gate: #f0a06a; --gate-fill: #46301f; --state: #74c3e3; --state-fill: #17394a;
  --paper: #14181f; } }
.carousel-flow text { fill: var(--ink); }
.carousel-flow .i { font-style: italic; }
.carousel-flow .name { font-size: 13px; }
.carousel-flow .role { font-size: 12px; fill: var(--line); }
.carousel-flow path { fill: none; stroke: var(--line); stroke-width: 1.3; }
.carousel-flow path.gate { stroke: var(--gate); }
.carousel-flow path.state { stroke: var(--state); }
.carousel-flow polygon { fill: var(--line); }
.carousel-flow polygon.gate { fill: var(--gate); }
.carousel-flow polygon.state { fill: var(--state); }
.carousel-flow rect, .carousel-flow circle { fill: var(--paper); stroke: var(--edge); stroke-width: 1.3; }
.carousel-flow rect.weights { fill: var(--weights); }
.carousel-flow .end { fill: var(--state-fill); stroke: var(--state); }
.carousel-flow .gate.shape { fill: var(--gate-fill); stroke: var(--gate); stroke-width: 1.6; }
"""


def draw(cell: Cell, *, index: str = "t") -> str:
    """A cell's step as a picture: the text of an SVG image that stands alone.

    Inputs and previous states stand on the left, new states and the output on the right. A box is what parameters make
    of rows, a circle is where rows meet element by element, and gates are coloured. All of it is derived from the
    equations, of a registered cell or of one's own. `index` is the letter of the step.

    >>> import carousel as ca
    >>> ca.draw(ca.cells.lstm).startswith("<svg")
    True

    Raises TypeError for what is no cell of rows: a cell on tensors has no step graph.
    """
    from carousel.graph.cell import Cell  # it stands above this module: a cell draws itself in a notebook

    if not isinstance(cell, Cell):
        raise TypeError(f"draw: a {type(cell).__name__} was given, expected a cell of rows, made by @carousel.cell.")
    return Picture(cell.name, flow_of(cell, index)).svg()


@dataclass
class Picture:
    """A flow with labels and places."""

    title: str
    flow: Flow

    def __post_init__(self) -> None:
        self.labels = [label_of(box) for box in self.flow.boxes]
        self.layout: Layout = lay_out(self.flow, [label.height + label.above for label in self.labels])
        self.left, self.right = self._columns()

    def svg(self) -> str:
        places = self.layout.places
        width = self.right[-1] + MARGIN
        height = max(place.y + place.height / 2 for place in places) + 2 * MARGIN
        lines = [line for k in range(len(places)) for line in self._lines(k)]
        shapes = [self._shape(k, box) for k, box in enumerate(self.flow.boxes)]
        size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        size += f' style="min-width: {LEAST * width:.0f}px"'  # on a page it shrinks, but stays legible
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" class="carousel-flow" role="img" {size}>',
                f"<title>The data flow of one step of {escape(self.title)}</title>",
                f"<style>{STYLE}</style>",
                *lines,
                *shapes,
                "</svg>\n",
            ]
        )

    def _columns(self) -> tuple[list[float], list[float]]:
        """Left and right edges of the columns."""
        left, right, x = [], [], MARGIN
        for column in self.layout.columns:
            boxes = [self.layout.places[k].box for k in column]
            width = max((self.labels[box].width for box in boxes if box is not None), default=0.0)
            left.append(x)
            right.append(x + width)
            x += width + BETWEEN
        return left, right

    def _middle(self, box: int) -> tuple[float, float]:
        """The middle of a box's shape, below its name if that stands above."""
        place, label = self.layout.places[box], self.labels[box]
        x = (self.left[place.column] + self.right[place.column]) / 2
        return x, MARGIN + place.y + label.above / 2

    # -- lines

    def _lines(self, number: int) -> list[str]:
        """The lines that leave a place to the next column."""
        places = self.layout.places
        place = places[number]
        if place.box is None:
            start = (self.left[place.column], MARGIN + place.y)
        else:
            x, y = self._middle(place.box)
            start = (x + self.labels[place.box].width / 2, y)
        kind = self._kind(number)
        return [self._line(start, number, end, kind) for end in place.after]

    def _line(self, start: tuple[float, float], number: int, end: int, kind: str) -> str:
        place = self.layout.places[end]
        turn, stop = self.right[self.layout.places[number].column], self.left[place.column]
        x, y = (stop, MARGIN + place.y) if place.box is None else self._port(end, number)
        bend = (turn + stop) / 2
        path = (
            f"M{start[0]:.1f} {start[1]:.1f}H{turn:.1f}C{bend:.1f} {start[1]:.1f} {bend:.1f} {y:.1f} {stop:.1f} {y:.1f}"
        )
        path += f"H{x - 5:.1f}" if place.box is not None else ""
        line = f'<path{kind} d="{path}"/>'
        if place.box is None:
            return line
        head = f"{x:.1f},{y:.1f} {x - 7:.1f},{y - 3.5:.1f} {x - 7:.1f},{y + 3.5:.1f}"
        role = self._role(number, place.box)
        mark = f'<text class="role" x="{x - 10:.1f}" y="{y - 4:.1f}" text-anchor="end">{role}</text>' if role else ""
        return f'{line}<polygon{kind} points="{head}"/>{mark}'

    def _port(self, box: int, source: int) -> tuple[float, float]:
        """Where a line ends at a box: lines from above end above those from below."""
        places, label = self.layout.places, self.labels[box]
        x, y = self._middle(box)
        order = sorted(places[box].before, key=lambda k: (places[k].y, k))
        span = min(label.height * (0.55 if label.height < 40 else 0.7), 14.0 * (len(order) - 1))
        offset = span * (order.index(source) / (len(order) - 1) - 0.5) if len(order) > 1 else 0.0
        reach = label.width / 2
        if label.shape == "circle":
            reach = (reach**2 - offset**2) ** 0.5
        return x - reach, y + offset

    def _origin(self, number: int) -> int:
        while self.layout.places[number].box is None:
            number = self.layout.places[number].before[0]
        return number

    def _role(self, number: int, box: int) -> str:
        roles = [role for source, role in self.flow.boxes[box].sources if source == self._origin(number) and role]
        return escape(", ".join(roles))

    def _kind(self, number: int) -> str:
        box = self.flow.boxes[self._origin(number)]
        return ' class="gate"' if box.gate else ' class="state"' if box.kind == "state" else ""

    # -- shapes

    def _shape(self, number: int, box: Box) -> str:
        x, y = self._middle(number)
        label = self.labels[number]
        kind = f"{box.kind}{' gate shape' if box.gate else ''}{' end' if box.kind in ('state', 'new') else ''}"
        if label.shape == "circle":
            shape = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{label.width / 2:.1f}"/>'
        else:
            corner = 5 if box.kind == "weights" else min(label.height / 2, 14.0)
            shape = (
                f'<rect class="{kind}" x="{x - label.width / 2:.1f}" y="{y - label.height / 2:.1f}" '
                f'width="{label.width:.1f}" height="{label.height:.1f}" rx="{corner:.1f}"/>'
            )
        return shape + svg_text(label, x, y)
