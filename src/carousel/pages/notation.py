"""Equations as docstrings have them, one line each in plain letters, as LaTeX: for cells whose step is no graph."""

from __future__ import annotations

import re

from carousel.graph.notation.latex import number, symbol_of

TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)"
    r"|(?P<name>[A-Za-z]+)(?:_(?P<below>\{[^{}]*\}|\w+))?"
    r"|(?P<sign>\^T\b|_\w\b|[-+*/=()\[\]|,;<>])"
)
ROOT = re.compile(r"\\operatorname\{sqrt\}\(([^()]*)\)")
FUNCTIONS = {"sigmoid": r"\sigma", **{name: rf"\{name}" for name in ("tanh", "exp", "log", "sin", "cos", "max", "min")}}
SIGNS = {"*": r" \odot ", "^T": r"^\top"}


def equations_of(text: str) -> list[tuple[str, str]] | None:
    """(left, right) of every line in LaTeX; None where a line is no equation in this notation.

    >>> equations_of("C_t = f_t C_{t-1} + sigmoid(a_t) * v_t k_t^T")
    [('C_t', 'f_t C_{t-1} + \\\\sigma(a_t) \\\\odot v_t k_t^\\\\top')]
    >>> equations_of("h_t = c_t where t is even;") is None
    True
    """
    found = [to_latex(line) for line in text.splitlines() if line.strip()]
    sides = [line.split(" = ") for line in found if line is not None and line.count(" = ") == 1]
    return [(left.strip(), right.strip()) for left, right in sides] if len(sides) == len(found) else None


def to_latex(line: str) -> str | None:
    """A formula in plain letters as LaTeX; None where something in it is not known."""
    words, at = [], 0
    while at < len(line):
        token = TOKEN.match(line, at)
        if line[at].isspace():
            words.append(" ")
            at += 1
        elif token is None or (token["name"] and _is_prose(token["name"], line[token.end() :])):
            return None
        else:
            words.append(_word(token))
            at = token.end()
    return ROOT.sub(r"\\sqrt{\1}", re.sub(" +", " ", "".join(words)))


def _is_prose(name: str, rest: str) -> bool:
    """Whether a word is neither a function nor a symbol: three letters and more that no bracket or index follows."""
    return len(name) > 2 and name not in FUNCTIONS and not rest.startswith("(") and symbol_of(name).startswith(r"\m")


def _word(token: re.Match[str]) -> str:
    if token["number"]:
        return number(float(token["number"]))
    if token["sign"]:
        return SIGNS.get(token["sign"], token["sign"])
    name, below = token["name"], (token["below"] or "").strip("{}")
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if len(name) > 2 and symbol_of(name).startswith(r"\m"):
        return rf"\operatorname{{{name}}}"
    head = symbol_of(name)
    return f"{head}_{below if len(below) == 1 else f'{{{below}}}'}" if below else head
