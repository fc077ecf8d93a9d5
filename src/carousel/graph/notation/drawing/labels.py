"""The words in a picture: how wide they are, where long formulas break, and their SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from carousel.graph.notation.drawing.flow import Box
from carousel.graph.notation.typeset import runs
from carousel.graph.notation.typeset.plain import Run

LETTER = 6.9  # the mean width of a letter of 14 pixels
SMALL = 0.72  # the size of scripts
LONGEST = 46.0  # letters in a line
LINE = 19.0
ROLE = 14.0  # the height of a word at an arrow

Line = list[Run]


@dataclass
class Label:
    """What stands in a box, and how large the box is; `above` is the room for a name above it."""

    shape: str
    lines: list[Line]
    name: Line
    width: float
    height: float
    above: float


def label_of(box: Box) -> Label:
    """The label of a box: in wide boxes the name stands before the formula, elsewhere above the shape."""
    if box.kind == "weights":
        lines = broken(runs(f"{box.name} = {box.formula}" if box.name else box.formula))
        return Label("box", lines, [], max(map(width, lines)) + 20, LINE * len(lines) + 9, 0.0)
    inside, name = runs(box.formula), runs(box.name) if box.name else []
    if box.kind == "circle":
        size = max(26.0, width(inside) + 12)
        return Label("circle", [inside], name, size, size, 16.0 if name else 0.0)
    lines = broken(inside)
    wide = max(max(map(width, lines)) + 20, 34.0)
    roles = sum(role != "" for _, role in box.sources)
    return Label("box", lines, name, wide, max(LINE * len(lines) + 9, ROLE * roles + 6), 16.0 if name else 0.0)


def width(line: Line) -> float:
    """The width of a line in pixels, about; scripts above and below one base stand beside each other."""
    return sum(len(run.text) * LETTER * (SMALL if run.level else 1.0) for run in line)


def broken(line: Line) -> list[Line]:
    """A long formula in lines of about one length that begin with a plus."""
    whole = width(line)
    if whole <= LONGEST * LETTER:
        return [line]
    lines: list[Line] = [[]]
    for part in _terms(line):
        if lines[-1] and width(lines[-1]) + width(part) / 2 > whole / math.ceil(whole / LONGEST / LETTER):
            lines.append([])
        lines[-1] += part
    return lines


def _terms(line: Line) -> list[Line]:
    """The line cut before each plus or minus on the line."""
    terms: list[Line] = [[]]
    for run in line:
        if run.level or run.italic:
            terms[-1].append(run)
            continue
        pieces = run.text.replace(" + ", "\0 + ").replace(" − ", "\0 − ").split("\0")
        terms[-1].append(run._replace(text=pieces[0]))
        terms += [[run._replace(text=piece)] for piece in pieces[1:]]
    return terms


def svg_text(label: Label, x: float, y: float) -> str:
    """The words of a label whose shape has its middle there."""
    top = y - LINE * (len(label.lines) - 1) / 2 + 4.5
    if len(label.lines) == 1:
        texts = [f'<text x="{x:.1f}" y="{top:.1f}" text-anchor="middle">{_spans(label.lines[0])}</text>']
    else:
        left = x - label.width / 2 + 10
        texts = [f'<text x="{left:.1f}" y="{top + LINE * k:.1f}">{_spans(n)}</text>' for k, n in enumerate(label.lines)]
    if label.name:
        above = y - label.height / 2 - 5
        texts.append(f'<text class="name" x="{x:.1f}" y="{above:.1f}" text-anchor="middle">{_spans(label.name)}</text>')
    return "".join(texts)


def _spans(line: Line) -> str:
    """Runs of text, of which scripts are smaller and stand lower or higher."""
    parts, level = [], 0
    for run in line:
        text = escape(run.text).replace(" ", "\xa0")
        space = text[: len(text) - len(text.lstrip("\xa0"))]  # browsers forget a shift that begins at a space
        shift = (level - run.level) * 4
        attributes = f' dy="{shift}"' if shift else ""
        attributes += f' font-size="{14 * SMALL:.0f}"' if run.level else ""
        attributes += ' class="i"' if run.italic else ""
        rest = text[len(space) :]
        parts.append(space + (f"<tspan{attributes}>{rest}</tspan>" if attributes and rest else rest))
        level = run.level if rest else level
    return "".join(parts)
