"""Reads LaTeX, as much of it as graph/notation/latex.py writes, into a tree from which everything else is typeset."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from carousel.graph.notation.latex import GREEK

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
UPPER = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ ΣΤΥΦΧΨΩ"
NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
).split()
LETTERS = {name: chr(0x3B1 + k) for k, name in enumerate(NAMES)}
LETTERS |= {name.capitalize(): letter for name, letter in zip(NAMES, UPPER, strict=True)}
SIGNS = {
    **{r"\odot": "⊙", r"\cdot": "·", r"\le": "≤", r"\ge": "≥", r"\ne": "≠", r"\lfloor": "⌊", r"\rfloor": "⌋"},
    **{r"\land": "∧", r"\div": "÷", "-": "−"},
}
CONSTANTS = {r"\infty": "∞", r"\top": "⊤", r"\prime": "′"}
FUNCTIONS = ("tanh", "exp", "log", "sin", "cos", "max", "min")


@dataclass(frozen=True)
class Word:
    """A symbol. kind: `letter` (in italics), `number`, `word` (upright), `function`, `operator`, `open`, `close`."""

    kind: str
    text: str
    tall: bool = False  # a bracket that grows with what it holds


@dataclass(frozen=True)
class Row:
    """Formulas beside each other."""

    items: tuple[Formula, ...]


@dataclass(frozen=True)
class Scripts:
    """A base with what stands below and above it."""

    base: Formula
    below: Formula | None
    above: Formula | None


@dataclass(frozen=True)
class Fraction:
    """One formula over another."""

    top: Formula
    bottom: Formula


@dataclass(frozen=True)
class Root:
    """A square root."""

    inside: Formula


@dataclass(frozen=True)
class Cases:
    """Values, each with the words that say when."""

    rows: tuple[tuple[Formula, Formula], ...]


Formula = Word | Row | Scripts | Fraction | Root | Cases


def parse(latex: str) -> Row:
    """A formula as a tree. Raises ValueError for LaTeX that the equations of a cell do not need.

    >>> (h,) = parse("h_t").items
    >>> h.base.text, h.below.text, h.above
    ('h', 't', None)
    """
    return Reader(latex).row(())


class Reader:
    """A formula read token by token."""

    def __init__(self, latex: str):
        self.tokens, self.at = TOKEN.findall(latex), 0

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def row(self, ends: tuple[str, ...]) -> Row:
        """Formulas up to one of the tokens, which is left."""
        items: list[Formula] = []
        while self.peek() and self.peek() not in ends:
            items.append(self.scripted())
        return Row(tuple(items))

    def scripted(self) -> Formula:
        base, primes = self.atom(), 0
        found: dict[str, Formula | None] = {"_": None, "^": None}
        while self.peek() in ("_", "^", "'"):
            sign = self.next()
            if sign == "'":
                primes += 1
            else:
                found[sign] = self.atom()
        if primes:
            found["^"] = Word("operator", "′" * primes)
        return Scripts(base, found["_"], found["^"]) if found["_"] or found["^"] else base

    def atom(self) -> Formula:
        token = self.next()
        if token == "{":
            return _single(self._up_to("}"))
        if token in (r"\left", r"\right"):
            return replace(_word(self.next()), tall=True)
        if token == r"\frac":
            return Fraction(self.atom(), self.atom())
        if token == r"\sqrt":
            return Root(self.atom())
        if token in (r"\mathrm", r"\operatorname", r"\text"):
            return Word("function" if token == r"\operatorname" else "word", self._words())
        if token == r"\begin":
            return self._cases()
        if token == r"\sigma" and self.tokens[self.at : self.at + 1] in (["("], [r"\left"]):
            return Word("function", "σ")  # sigma as a factor stands apart from what follows
        return _word(token)

    def _up_to(self, end: str) -> Row:
        row = self.row((end,))
        self.next()
        return row

    def _words(self) -> str:
        """The text in braces as it is."""
        self.next()
        start = self.at
        self.at = self.tokens.index("}", start) + 1
        return "".join(self.tokens[start : self.at - 1]).replace(r"\_", "_")

    def _cases(self) -> Cases:
        self._words()
        rows = []
        while self.peek() and self.peek() != r"\end":
            value = self._up_to("&")
            rows.append((_single(value), _single(self.row((r"\\", r"\end")))))
            if self.peek() == r"\\":
                self.next()
        self.next()
        self._words()
        return Cases(tuple(rows))


def _single(row: Row) -> Formula:
    return row.items[0] if len(row.items) == 1 else row


def _word(token: str) -> Word:
    """One token as a symbol."""
    name = token.removeprefix("\\")
    if token in SIGNS:
        return Word({"⌊": "open", "⌋": "close"}.get(SIGNS[token], "operator"), SIGNS[token])
    if token in CONSTANTS:
        return Word("operator" if token == r"\prime" else "word", CONSTANTS[token])
    if token.startswith("\\") and name in GREEK:
        return Word("letter", LETTERS[name])
    if token.startswith("\\") and name in FUNCTIONS:
        return Word("function", name)
    if token[0].isdigit():
        return Word("number", token)
    if token.isalpha() or token == r"\_":
        return Word("letter", name)
    if token in ("(", "["):
        return Word("open", token)
    if token in (")", "]"):
        return Word("close", token)
    if token and token in "+=<>,;:|./":
        return Word("operator", token)
    raise ValueError(f"{token!r} is not known in a formula of a cell.")
