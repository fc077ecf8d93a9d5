"""`cell.latex()`: the equations as a paper would print them, from the traced step."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from carousel.graph.step import COMPARISONS, Node
from carousel.graph.widths import ONE, Width

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
FUNCTIONS = {
    "sigmoid": r"\sigma",
    "maximum": r"\max",
    "minimum": r"\min",
    **{name: rf"\{name}" for name in ("tanh", "exp", "log", "sin", "cos")},
    **{name: rf"\operatorname{{{name}}}" for name in ("softplus", "relu", "mean", "sum", "softmax", "expand", "stop")},
    "normalize": r"\operatorname{norm}",
}
SIGNS = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge", "eq": "=", "ne": r"\ne"}

SIZES = {"input_size": "D", "hidden_size": "H"}  # the legend of shapes
LINE = r" \\ "

SUM, PRODUCT, ATOM = 1, 2, 3  # how tightly a formula binds


def latex(cell: Cell) -> str:
    """The equations of a cell in LaTeX, in an `align` environment (amsmath).

    A quantity has its value at step t; previous states have the index t-1, what depends on parameters alone has none.

    >>> from carousel.cells import elman
    >>> print(latex(elman))
    \\begin{align}
    h_t &= \\tanh(W x_t + U h_{t-1} + b)
    \\end{align}
    """
    lines = [f"{left} &= {right}" for left, right in Formulas(cell).equations()]
    return "\\begin{align}\n" + " \\\\\n".join(lines) + "\n\\end{align}"


class Formulas:
    """Formulas of the nodes of a cell's step; named ones are written by their name. `index` is the step's letter."""

    def __init__(self, cell: Cell, index: str = "t"):
        self.cell, self.nodes, self.now, self.before = cell, cell.step.nodes, index, f"{index}-1"
        self.in_time: list[bool] = []
        for node in self.nodes:
            self.in_time.append(self._changes(node))
        leaves = (index for index in range(len(self.nodes)) if not self._defined(index))
        self.given = {self._symbol(index) for index in leaves}
        self.symbols = [self._distinct(index) for index in range(len(self.nodes))]

    def equations(self) -> list[tuple[str, str]]:
        """(left, right) for every named quantity, in the order of computation."""
        step = self.cell.step
        found = [(symbol, self._formula(k)[0]) for k, symbol in enumerate(self.symbols) if symbol and self._defined(k)]
        for name, index in zip(self.cell.states, step.outputs, strict=True):
            if self.symbols[index] != symbol_of(
                name, self.now
            ):  # a state that is passed on, or has the value of another
                found.append((symbol_of(name, self.now), self._name(index)))
        return found

    def formula(self, index: int) -> str:
        """What a node is computed by."""
        return self._formula(index)[0]

    def name(self, index: int) -> str:
        """A node where it is used: its symbol, or its formula."""
        return self._name(index)

    def _changes(self, node: Node) -> bool:
        if node.op == "side":
            return self.cell.sides[node.attr["name"]].kind == "step"
        return node.op in ("input", "state", "time") or any(self.in_time[arg] for arg in node.args)

    def _defined(self, index: int) -> bool:
        return self.nodes[index].op not in ("input", "state", "side", "parameter", "time")

    def _distinct(self, index: int) -> str | None:
        """As `_symbol`, with a prime where the equations give a name anew that an input or a parameter has."""
        symbol = self._symbol(index)
        if self._defined(index) and symbol in self.given:
            return symbol_of(self.nodes[index].names[-1], self.now if self.in_time[index] else "", r"\prime")
        return symbol

    def _symbol(self, index: int) -> str | None:
        """How a node is written where it is used; None for one without a name."""
        node, step = self.nodes[index], self.cell.step
        if node.op == "parameter":
            return symbol_of(node.attr["name"])
        if node.op == "time":
            return self.now
        if node.op == "state":
            return symbol_of(self.cell.states[node.attr["k"]], self.before)
        time = self.now if self.in_time[index] else ""
        if index in step.outputs:
            return symbol_of(self.cell.states[step.outputs.index(index)], time)
        if node.op in ("input", "side"):
            return symbol_of(node.names[0], time)
        last = sorted((n for n in node.names if step.names.get(n) == index or n not in step.names), key=_depth)
        if last:
            return symbol_of(last[0], time)
        if node.names:
            name = node.names[-1]
            earlier = [k for k in range(index) if name in self.nodes[k].names and self._defined(k)]
            return symbol_of(name, time, f"({len(earlier) + 1})")
        return symbol_of("y", self.now) if index == step.output else None

    def _name(self, index: int, least: int = SUM) -> str:
        """A node where it is used, in parentheses if it binds less than `least`."""
        symbol = self.symbols[index]
        if symbol is not None:
            return symbol
        text, binding = self._formula(index)
        return _parentheses(text) if binding < least else text

    def _formula(self, index: int) -> tuple[str, int]:
        """What a node is computed by, and how tightly that binds."""
        node = self.nodes[index]
        if node.op == "number":
            value = node.attr["value"]
            return number(value), SUM if value < 0 else ATOM
        if node.op in COMPARISONS:
            return f"[{self._condition(index)}]", ATOM
        if node.op in FUNCTIONS:
            return FUNCTIONS[node.op] + _parentheses(", ".join(self._name(arg) for arg in node.args)), ATOM
        return FORMULAS[node.op](self, node)

    def _condition(self, index: int) -> str:
        node = self.nodes[index]
        if node.op in COMPARISONS and self.symbols[index] is None:
            left, right = (self._name(arg) for arg in node.args)
            return f"{left} {SIGNS[node.op]} {right}"
        if node.op == "mul" and self.symbols[index] is None and all(self._holds(arg) for arg in node.args):
            return r" \land ".join(self._condition(arg) for arg in node.args)
        return f"{self._name(index)} \\ne 0"

    def _holds(self, index: int) -> bool:
        """Whether a node is 0 or 1 by a comparison that is written out."""
        node = self.nodes[index]
        return self.symbols[index] is None and (
            node.op in COMPARISONS or (node.op == "mul" and all(self._holds(arg) for arg in node.args))
        )

    def _add(self, node: Node) -> tuple[str, int]:
        left, right = node.args
        if self._value(left) == 0:  # Python's sum() begins with it
            return self._plain(right)
        return f"{self._name(left)} {self._term(right, '+', '-')}", SUM

    def _sub(self, node: Node) -> tuple[str, int]:
        left, right = node.args
        return f"{self._name(left)} {self._term(right, '-', '+')}", SUM

    def _term(self, index: int, sign: str, opposite: str) -> str:
        """A term of a sum with its sign; a negative one has the opposite sign."""
        node = self.nodes[index]
        if self.symbols[index] is None and node.op == "neg":
            return f"{opposite} {self._name(node.args[0], PRODUCT)}"
        text = self._name(index, SUM if sign == "+" else PRODUCT)
        return f"{opposite} {text[1:]}" if text.startswith("-") else f"{sign} {text}"

    def _neg(self, node: Node) -> tuple[str, int]:
        text = self._name(node.args[0], PRODUCT)
        return (text[1:], PRODUCT) if text.startswith("-") else (f"-{text}", SUM)

    def _mul(self, node: Node) -> tuple[str, int]:
        left, right = node.args
        if left == right:
            return f"{{{self._name(left, ATOM)}}}^2", PRODUCT
        if self.nodes[right].op == "number":
            left, right = right, left
        if self._value(left) == 1:
            return self._plain(right)
        if (self._value(left) or 0) < 0:  # a sum makes a minus of it
            return f"{self._name(left)} {self._name(right, PRODUCT)}", PRODUCT
        sign = " " if ONE in (self.nodes[left].width, self.nodes[right].width) else r" \odot "
        factor = self._name(right, PRODUCT)
        return self._name(left, PRODUCT) + sign + (f"({factor})" if factor.startswith("-") else factor), PRODUCT

    def _div(self, node: Node) -> tuple[str, int]:
        if self._value(node.args[1]) == 1:
            return self._plain(node.args[0])
        return f"\\frac{{{self._name(node.args[0])}}}{{{self._name(node.args[1])}}}", ATOM

    def _value(self, index: int) -> float | None:
        """The value of a number without a name."""
        node = self.nodes[index]
        return node.attr["value"] if node.op == "number" and self.symbols[index] is None else None

    def _plain(self, index: int) -> tuple[str, int]:
        """A node where it is used, and how tightly that binds."""
        symbol = self.symbols[index]
        return (symbol, ATOM) if symbol is not None else self._formula(index)

    def _matmul(self, node: Node) -> tuple[str, int]:
        return f"{self._name(node.args[0], ATOM)} {self._name(node.args[1], ATOM)}", PRODUCT

    def _transpose(self, node: Node) -> tuple[str, int]:
        return f"{self._name(node.args[0], ATOM)}^\\top", ATOM

    def _clip(self, node: Node) -> tuple[str, int]:
        bounds = f"{number(node.attr['low'])}, {number(node.attr['high'])}"
        return r"\operatorname{clip}" + _parentheses(f"{self._name(node.args[0])}, {bounds}"), ATOM

    def _clip_gradient(self, node: Node) -> tuple[str, int]:
        inside = f"{self._name(node.args[0])}, {number(node.attr['bound'])}"
        return r"\operatorname{clipgrad}" + _parentheses(inside), ATOM

    def _where(self, node: Node) -> tuple[str, int]:
        """One row for each condition; a choice in the place of the last value continues the list."""
        rows = []
        while True:
            condition, chosen, other = node.args
            rows.append(f"{self._name(chosen)} & \\text{{if }} {self._condition(condition)}")
            if self.nodes[other].op != "where" or self.symbols[other] is not None:
                break
            node = self.nodes[other]
        rows.append(f"{self._name(other)} & \\text{{otherwise}}")
        return f"\\begin{{cases}} {LINE.join(rows)} \\end{{cases}}", ATOM

    def _slice(self, node: Node) -> tuple[str, int]:
        start, stop = (_width(node.attr[edge]) for edge in ("start", "stop"))
        return f"[{self._name(node.args[0])}]_{{{start}:{stop}}}", ATOM

    def _concat(self, node: Node) -> tuple[str, int]:
        return f"[{'; '.join(self._name(arg) for arg in node.args)}]", ATOM

    def _around(self, left: str, right: str) -> Callable[[Node], tuple[str, int]]:
        return lambda node: (_between(left, self._name(node.args[0]), right), ATOM)


FORMULAS: dict[str, Callable[[Formulas, Node], tuple[str, int]]] = {
    "add": Formulas._add,
    "sub": Formulas._sub,
    "neg": Formulas._neg,
    "mul": Formulas._mul,
    "div": Formulas._div,
    "matmul": Formulas._matmul,
    "transpose": Formulas._transpose,
    "clip": Formulas._clip,
    "clip_gradient": Formulas._clip_gradient,
    "where": Formulas._where,
    "slice": Formulas._slice,
    "concat": Formulas._concat,
    "abs": lambda formulas, node: formulas._around("|", "|")(node),
    "sqrt": lambda formulas, node: (rf"\sqrt{{{formulas._name(node.args[0])}}}", ATOM),
    "floor": lambda formulas, node: formulas._around(r"\lfloor ", r" \rfloor")(node),
}


def symbol_of(name: str, time: str = "", version: str = "") -> str:
    """A name of the equations as a symbol.

    >>> symbol_of("W_f"), symbol_of("h", "t-1"), symbol_of("c_new", "t"), symbol_of("tau"), symbol_of("lstm.f", "t")
    ('W_f', 'h_{t-1}', 'c_{\\\\mathrm{new},t}', '\\\\tau', 'f^{\\\\mathrm{lstm}}_t')
    """
    *inside, name = name.split(".")
    head, _, tail = name.strip("_").partition("_")
    letter = re.fullmatch(r"([A-Za-z]+?)(\d+)", head)
    head, digits = letter.groups() if letter else (head, "")
    below = [part for part in (digits, *map(_word, tail.split("_")), time) if part]
    above = [rf"\mathrm{{{escape(part)}}}" for part in inside] + ([version] if version else [])
    sup = f"^{{{', '.join(above)}}}" if above else ""
    sub = "_" + _braced(",".join(below)) if below else ""
    head = head if len(head) == 1 or head in GREEK else rf"\mathrm{{{escape(head)}}}"
    return _word(head) + ("'" if name.startswith("_") or name.endswith("_") else "") * (not above) + sup + sub


def _word(text: str) -> str:
    """A letter, a Greek letter, two letters that index (W_hn), or a word."""
    if text in GREEK:
        return f"\\{text}"
    return text if len(text) <= 2 or text.startswith("\\") else rf"\mathrm{{{escape(text)}}}"


def _width(width: Width) -> str:
    letters = {name: SIZES.get(name, rf"\mathrm{{{escape(name)}}}") for name, _ in width.terms}
    parts = [f"{'' if count == 1 else count}{letters[name]}" for name, count in width.terms]
    return " + ".join(parts + ([str(width.constant)] if width.constant or not parts else []))


def escape(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return text.replace("_", r"\_")


def _braced(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def _parentheses(text: str) -> str:
    return _between("(", text, ")")


def _between(left: str, text: str, right: str) -> str:
    """Text in brackets, which are as tall as it is."""
    tall = any(command in text for command in (r"\frac", r"\begin", r"\sqrt"))
    return rf"\left{left}{text}\right{right.strip()}" if tall else f"{left}{text}{right}"


def number(value: float) -> str:
    """A number as it is printed.

    >>> number(0.5), number(-1e30), number(float("inf"))
    ('0.5', '-10^{30}', '\\\\infty')
    """
    if value in (math.e, math.pi):
        return "e" if value == math.e else r"\pi"
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    sign, size = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    return sign + (power if size == "1" else rf"{size} \cdot {power}")


def _depth(name: str) -> int:
    return name.count(".")
