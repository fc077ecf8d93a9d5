"""Formulas in one line: as plain text for a terminal, and as runs of text on, below and above the line for SVG."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from carousel.graph.notation.typeset.mathml import begins, touching
from carousel.graph.notation.typeset.parse import Cases, Formula, Fraction, Root, Row, Scripts, Word, parse

AROUND = ("+", "−", "=", "⊙", "·", "<", ">", "≤", "≥", "≠", "∧", "∈")
AFTER = (",", ";")
ALONE = "+−=<>≤≥≠∧()[],;⌊⌋|"  # beside these a fraction needs no parentheses


class Run(NamedTuple):
    """A stretch of text; `level` 0 stands on the line, -1 below it, 1 above it."""

    text: str
    level: int
    italic: bool


def plain_text(latex: str) -> str:
    """A formula as plain text.

    >>> plain_text(r"f_t = \\sigma(W_f x_t + U_f h_{t-1}) \\odot c_{\\mathrm{new},t}")
    'f_t = σ(W_f x_t + U_f h_{t-1}) ⊙ c_{new,t}'
    """
    parts = []
    for level, together in groupby(runs(latex), lambda run: run.level):
        text = "".join(run.text for run in together)
        if level and text.strip("′"):
            text = text.replace("−", "-")
            text = ("_" if level < 0 else "^") + (text if len(text) == 1 else f"{{{text}}}")
        parts.append(text)
    return "".join(parts)


def runs(latex: str) -> list[Run]:
    """A formula as runs of text, those of the same kind joined."""
    joined: list[Run] = []
    for run in _runs(parse(latex), 0):
        if joined and joined[-1][1:] == run[1:]:
            joined[-1] = joined[-1]._replace(text=joined[-1].text + run.text)
        else:
            joined.append(run)
    return joined


def _runs(formula: Formula, level: int) -> list[Run]:
    if isinstance(formula, Word):
        return [Run(formula.text, level, formula.kind == "letter")]
    if isinstance(formula, Row):
        return _row(formula, level)
    if isinstance(formula, Scripts):
        above = _runs(formula.above, 1) if formula.above else []
        return [*_runs(formula.base, level), *above, *(_runs(formula.below, -1) if formula.below else [])]
    if isinstance(formula, Fraction):
        return [*_factor(formula.top, level), Run(" / ", level, False), *_factor(formula.bottom, level)]
    if isinstance(formula, Root):
        return [Run("√(", level, False), *_runs(formula.inside, level), Run(")", level, False)]
    return _cases(formula, level)


def _row(row: Row, level: int) -> list[Run]:
    found: list[Run] = []
    items = row.items
    for k, item in enumerate(items):
        before = items[k - 1] if k else None
        if isinstance(item, Word) and item.text in AROUND:
            unary = item.text == "−" and begins(before)
            spaced = item.text if unary or level or len(items) == 1 else f" {item.text} "
            found.append(Run(spaced, level, False))
        elif isinstance(item, Word) and item.text in AFTER:
            found.append(Run(item.text + (" " if not level else ""), level, False))
        else:
            if before is not None and touching(before, item) and not level and found[-1].text[-1:] != " ":
                found.append(Run(" ", level, False))
            bracketed = isinstance(item, Fraction) and _has_neighbour(items, k)
            found += _bracketed(_runs(item, level), level) if bracketed else _runs(item, level)
    return found


def _has_neighbour(items: tuple[Formula, ...], k: int) -> bool:
    """Whether a formula has a factor beside it."""
    near = [items[n] for n in (k - 1, k + 1) if 0 <= n < len(items)]
    return not all(isinstance(other, Word) and other.text in ALONE for other in near)


def _factor(formula: Formula, level: int) -> list[Run]:
    """A formula as one factor: in parentheses where it is more."""
    found = _runs(formula, level)
    if isinstance(formula, Row) and len(formula.items) > 1 and not _is_call(formula.items):
        return _bracketed(found, level)
    return found


def _bracketed(found: list[Run], level: int) -> list[Run]:
    return [Run("(", level, False), *found, Run(")", level, False)]


def _is_call(items: tuple[Formula, ...]) -> bool:
    """Whether this is one function of what stands in its brackets."""
    depth = [0]
    for item in items[1:]:
        kind = item.kind if isinstance(item, Word) else ""
        depth.append(depth[-1] + (kind == "open") - (kind == "close"))
    first = items[0]
    return isinstance(first, Word) and first.kind == "function" and 0 not in depth[1:-1] and depth[-1] == 0


def _cases(formula: Cases, level: int) -> list[Run]:
    found = [Run("{ ", level, False)]
    for k, (value, when) in enumerate(formula.rows):
        found += [Run("; " if k else "", level, False), *_runs(value, level), Run(" ", level, False)]
        found += _runs(when, level)
    return [*found, Run(" }", level, False)]
