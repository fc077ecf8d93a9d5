"""Where the boxes of a picture stand: in columns from left to right, with few crossings and straight long lines.

The usual four steps (Sugiyama, Tagawa & Toda, 1981): a column for each box by its longest way from an input; places
held free for lines that cross a column; an order within columns by sweeps of barycentres; heights by least squares
that keep the order. Nothing is random, so the same cell gives the same picture.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field

from carousel.graph.notation.drawing.flow import Flow

GAP = 16.0  # between boxes of a column
SWEEPS = 24


@dataclass
class Place:
    """A box in a column, or a place that a line passes (`box` is None there). `y` is its middle."""

    box: int | None
    column: int
    height: float
    y: float = 0.0
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass
class Layout:
    """Places by number, the columns as numbers of places from top to bottom, and the place of each box."""

    places: list[Place]
    columns: list[list[int]]
    of_box: list[int]


def lay_out(flow: Flow, heights: list[float]) -> Layout:
    """Places for all boxes of a flow."""
    layout = _in_columns(flow, heights)
    _order(layout)
    _settle(layout)
    return layout


def _in_columns(flow: Flow, heights: list[float]) -> Layout:
    column = [0] * len(flow.boxes)
    for k, box in enumerate(flow.boxes):
        column[k] = 1 + max((column[source] for source, _ in box.sources), default=-1)
    last = max(column)
    places = [Place(k, last if box.kind == "new" else column[k], heights[k]) for k, box in enumerate(flow.boxes)]
    layout = Layout(places, [[] for _ in range(last + 1)], list(range(len(places))))
    for source in range(len(flow.boxes)):
        _connect(flow, layout, source)
    for number, place in enumerate(places):
        layout.columns[place.column].append(number)
    return layout


def _connect(flow: Flow, layout: Layout, source: int) -> None:
    """One line from a box to all that read it, which branches in the last column before each."""
    places = layout.places
    readers = [k for k, box in enumerate(flow.boxes) if any(source == read for read, _ in box.sources)]
    way = {places[source].column: source}
    for reader in sorted(readers, key=lambda k: (places[k].column, k)):
        for column in range(places[source].column + 1, places[reader].column):
            if column not in way:
                way[column] = len(places)
                places.append(Place(None, column, 4.0))
                _join(places, way[column - 1], way[column])
        _join(places, way[places[reader].column - 1], reader)


def _join(places: list[Place], left: int, right: int) -> None:
    places[left].after.append(right)
    places[right].before.append(left)


# -- the order within columns


def _order(layout: Layout) -> None:
    """Sort columns by where the neighbours stand, to and fro; keep the order with the fewest crossings."""
    best, fewest = [list(column) for column in layout.columns], crossings(layout)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in layout.columns if forward else reversed(layout.columns):
            at = _positions(layout)
            _sort(layout, column, at, forward)
        found = crossings(layout)
        if found < fewest:
            best, fewest = [list(column) for column in layout.columns], found
    layout.columns = best


def _sort(layout: Layout, column: list[int], at: dict[int, int], forward: bool) -> None:
    def middle(number: int) -> float:
        place = layout.places[number]
        near = place.before if forward else place.after
        return sum(at[n] for n in near) / len(near) if near else float(at[number])

    column.sort(key=lambda number: (middle(number), at[number]))


def _positions(layout: Layout) -> dict[int, int]:
    return {number: k for column in layout.columns for k, number in enumerate(column)}


def crossings(layout: Layout) -> int:
    """How often two lines cross."""
    at, total = _positions(layout), 0
    for column in layout.columns:
        seen: list[int] = []
        for number in column:
            ends = sorted(at[n] for n in layout.places[number].after)
            for end in ends:
                total += len(seen) - bisect(seen, end)
            for end in ends:
                seen.insert(bisect(seen, end), end)
    return total


# -- the heights


def _settle(layout: Layout) -> None:
    """Move every place towards its neighbours, without changing the order within a column."""
    for column in layout.columns:
        _spread(layout, column, [0.0] * len(column))
    for _ in range(2 * SWEEPS):
        for columns in (layout.columns, layout.columns[::-1]):
            for column in columns:
                _spread(layout, column, [_wish(layout, number) for number in column])
    top = min(place.y - place.height / 2 for place in layout.places)
    for place in layout.places:
        place.y -= top


def _wish(layout: Layout, number: int) -> float:
    """Where a place would stand by its neighbours alone: on the line where a line passes."""
    place = layout.places[number]
    weights = {n: _weight(place, layout.places[n]) for n in (*place.before, *place.after)}
    total = sum(weights.values())
    return sum(w * layout.places[n].y for n, w in weights.items()) / total if total else place.y


def _weight(a: Place, b: Place) -> float:
    return {0: 1.0, 1: 2.0, 2: 6.0}[(a.box is None) + (b.box is None)]


def _spread(layout: Layout, column: list[int], wishes: list[float]) -> None:
    """Heights nearest to the wishes (least squares) that keep order and distance: pool adjacent violators."""
    offsets, places = [0.0], [layout.places[number] for number in column]
    for above, below in zip(places, places[1:], strict=False):
        offsets.append(offsets[-1] + (above.height + below.height) / 2 + GAP)
    pools: list[tuple[float, int]] = []  # mean, count
    for wish, offset in zip(wishes, offsets, strict=True):
        mean, count = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, many = pools.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    for place, mean, offset in zip(places, means, offsets, strict=True):
        place.y = mean + offset
