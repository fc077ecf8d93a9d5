"""The step graph with few enough nodes to be looked at.

What parameters do to a row (products, biases, normalisation, and the squashing around them) is one box with its
formula, "σ(W_f x_t + U_f h_{t-1} + b_f)"; where rows that change meet element by element there is a circle; functions
of one row are a pill. Inputs and previous states stand before, new states and the output after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carousel.graph.notation.gates import changing, gate_nodes
from carousel.graph.notation.latex import FUNCTIONS, Formulas, symbol_of
from carousel.graph.notation.typeset import plain_text
from carousel.graph.step import Node, ancestors

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

CIRCLES = {"add": "+", "sub": "+", "mul": r"\odot", "div": r"\div", "maximum": r"\max", "minimum": r"\min"}
LEAVES = ("input", "state", "side", "time")
LONGEST = 14  # letters of a formula that may stand within another
SQUASHINGS = ("sigmoid", "tanh", "relu", "softplus", "exp", "sin", "cos", "log", "abs", "sqrt", "clip", "softmax")


@dataclass
class Box:
    """Something in the picture.

    kind: `input`, `state`, `new` (a new state or the output), `weights`, `circle` or `pill`; `formula` and `name` are
    LaTeX; `sources` are the numbers of boxes in `Flow.boxes`, with the sign or the role in which each is read.
    """

    kind: str
    formula: str
    name: str = ""
    gate: bool = False
    sources: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Flow:
    """The boxes of a picture, each after those that it reads."""

    boxes: list[Box]


def flow_of(cell: Cell, index: str = "t") -> Flow:
    """The picture of a cell's step, as boxes; `index` is the letter of the step.

    >>> from carousel.cells import elman
    >>> [(box.kind, box.formula) for box in flow_of(elman).boxes]
    [('input', 'x_t'), ('state', 'h_{t-1}'), ('weights', '\\\\tanh(W x_t + U h_{t-1} + b)'), ('new', 'h_t')]
    """
    return Simplifier(cell, index).flow()


class Simplifier:
    """Decides which nodes of a step are shown, and which are words of another's formula."""

    def __init__(self, cell: Cell, letter: str):
        self.cell, self.step, self.nodes = cell, cell.step, cell.step.nodes
        self.moving = changing(self.nodes)
        self.gates = set(gate_nodes(cell.step))
        self.readers: list[set[int]] = [set() for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for arg in node.args:
                self.readers[arg].add(index)
        self.ends = {*self.step.outputs, self.step.output}
        self.needed = ancestors(self.nodes, self.ends)
        self.weighted: list[bool] = []
        for index in range(len(self.nodes)):
            self.weighted.append(self._is_weighted(index))
        self.absorbed = {index for index in range(len(self.nodes)) if self._is_absorbed(index)}
        self.formulas = Formulas(cell, letter)
        self.symbols = list(self.formulas.symbols)
        for index in self.absorbed:
            if self.moving[index]:
                self.formulas.symbols[index] = None

    def flow(self) -> Flow:
        boxes: list[Box] = []
        at: dict[int, int] = {}
        for index in self._shown():
            box = self._box(index, at)
            same = next((k for k, other in enumerate(boxes) if other == box and not box.name and box.sources), None)
            at[index] = len(boxes) if same is None else same
            if same is None:
                boxes.append(box)
            if self.symbols[index] is None and self._is_long(index):
                self.formulas.symbols[index] = r"\cdot"  # where it is read the arrow says what is meant
        for name, index in zip(self.cell.states, self.step.outputs, strict=True):
            boxes.append(Box("new", symbol_of(name, self.formulas.now), sources=[(at[index], "")]))
        if self.step.output not in self.step.outputs:
            output = self.symbols[self.step.output] or symbol_of("y", self.formulas.now)
            boxes.append(Box("new", output, sources=[(at[self.step.output], "")]))
        return Flow(boxes)

    def _is_long(self, index: int) -> bool:
        formula = self.formulas.formula(index)
        return r"\cdot" in formula or len(plain_text(formula)) > LONGEST

    def _shown(self) -> list[int]:
        """Leaves first, in the order of the cell's arguments; then the others in the order of computation."""
        shown = [k for k in sorted(self.needed) if k not in self.absorbed and (self.moving[k] or k in self.ends)]
        return sorted(shown, key=lambda k: self.nodes[k].op not in LEAVES)

    # -- what is absorbed

    def _rows(self, node: Node) -> list[int]:
        """The arguments that change, without repetition."""
        return list(dict.fromkeys(arg for arg in node.args if self.moving[arg]))

    def _is_weighted(self, index: int) -> bool:
        """Whether a node is what parameters make of rows."""
        node, rows = self.nodes[index], self._rows(self.nodes[index])
        if not rows or node.op in LEAVES:
            return False
        if node.op == "matmul":
            return True
        own = any(not self.moving[arg] and self.nodes[arg].op != "number" for arg in node.args)
        if own and len(rows) == 1 and node.op in ("add", "sub", "mul", "div"):
            return True
        joined = [self.weighted[row] and self._joins(row, index) for row in rows]
        if node.op in ("add", "sub") and any(joined):
            joined = [found or self._is_light(row) for found, row in zip(joined, rows, strict=True)]
        return all(joined) and node.op != "where"

    def _is_light(self, index: int) -> bool:
        """Whether a node may be written beside products in their sum: a multiple of a state, a named sum of products.

        A state itself stays outside, since what is added to it (a residual) is what one wants to see.
        """
        node = self.nodes[index]
        if self._stands_alone(index):
            return self.weighted[index] and bool(node.names) and index not in self.gates
        multiple = node.op in ("mul", "div") and all(self.nodes[arg].op in ("number", *LEAVES) for arg in node.args)
        return multiple and len(self._rows(node)) == 1

    def _joins(self, index: int, reader: int) -> bool:
        """Whether a weighted node can be part of the formula of a node that reads it."""
        inner, outer = self.nodes[index], self.nodes[reader]
        if self._stands_alone(index):
            return False
        if outer.op == "matmul":
            return self._is_linear(index)
        if len(self._rows(outer)) == 1:
            return self._is_linear(index) or outer.op in ("add", "sub", "mul", "div", "neg", "stop")
        return outer.op in ("add", "sub") and inner.op not in SQUASHINGS and self._is_linear(index)

    def _is_linear(self, index: int) -> bool:
        """No squashing in what has been joined so far."""
        node = self.nodes[index]
        if node.op in SQUASHINGS:
            return False
        return all(self._is_linear(row) for row in self._rows(node) if self.weighted[row] and self._joins(row, index))

    def _stands_alone(self, index: int) -> bool:
        return index in self.ends or index in self.gates or len(self.readers[index] & self.needed) > 1

    def _is_absorbed(self, index: int) -> bool:
        """Whether a node is shown in the formula of the one that reads it."""
        node = self.nodes[index]
        readers = self.readers[index] & self.needed
        if not self.moving[index] or node.op in LEAVES or self._stands_alone(index) or not readers:
            return not self.moving[index] and index not in self.ends
        (reader,) = readers
        if self.weighted[index] and self.weighted[reader]:
            return self._joins(index, reader)
        outer = self.nodes[reader]
        if outer.op in ("add", "sub") and self.weighted[reader]:
            return self._is_light(index) and len(self._rows(outer)) > 1
        if node.op in ("add", "sub", "neg") and outer.op in ("add", "sub") and not self.weighted[index]:
            return len(self._rows(node)) > 1 or node.op == "neg"  # one circle for a whole sum
        if node.op in ("lt", "le", "gt", "ge", "eq", "ne"):
            return True
        return self._is_pill(node) and self._is_pill(outer) and not node.names and not self.weighted[index]

    def _is_pill(self, node: Node) -> bool:
        """A function of one row."""
        return len(self._rows(node)) == 1 and node.op != "matmul" and node.op not in LEAVES

    # -- what is shown

    def _box(self, index: int, at: dict[int, int]) -> Box:
        node = self.nodes[index]
        name = self.symbols[index] or ""
        if node.op in LEAVES:
            return Box("state" if node.op == "state" else "input", name)
        if not self.moving[index]:
            return Box("weights", self.formulas.formula(index) if node.args else name)
        if index in self.step.outputs and not self.readers[index] & self.needed:
            name = ""  # the new state beside it bears the name
        sources = self._sources(index, at)
        if self.weighted[index]:
            return Box("weights", self.formulas.formula(index), name, index in self.gates, sources)
        if self._is_pill(node):
            return Box("pill", self._pill(index), name, index in self.gates, sources)
        kind = "circle" if node.op in CIRCLES else "pill"
        formula = CIRCLES.get(node.op) or rf"\operatorname{{{node.op}}}"
        return Box(kind, formula, name, index in self.gates, sources)

    def _pill(self, index: int) -> str:
        """A function of one row: its name, or its formula where it is more than a function."""
        node = self.nodes[index]
        (row,) = self._rows(node)
        if row not in self.absorbed and node.op in FUNCTIONS and len(node.args) == 1:
            return FUNCTIONS[node.op]
        if row not in self.absorbed and node.op == "sub" and node.args[1] == row:
            return f"{self.formulas.name(node.args[0])} -"
        symbols = self.formulas.symbols
        if row not in self.absorbed and (symbols[row] is None or node.op == "slice"):
            symbols[row], kept = r"\cdot", symbols[row]  # what has no name here, or need not be said twice
            formula = self.formulas.formula(index)
            symbols[row] = kept
            return formula
        return self.formulas.formula(index)

    def _sources(self, index: int, at: dict[int, int]) -> list[tuple[int, str]]:
        """The boxes that a node reads, through all that it has absorbed, each with the role in which it is read."""
        top, found = self.nodes[index], dict[tuple[int, str], None]()
        summed = top.op in ("add", "sub") and not self.weighted[index]
        roles = {"where": ("if", "then", "else"), "div": ("", "÷")}.get(top.op, ("",) * len(top.args))

        def walk(index: int, role: str, summed: bool) -> None:
            node = self.nodes[index]
            for k, arg in enumerate(node.args):
                minus = summed and (node.op == "neg" or (node.op == "sub" and k == 1))
                now = roles[k] if node is top and not self._is_boxed(top) else role
                now = ("" if role else "−") if minus else now
                if arg in at:
                    found[at[arg], now] = None
                elif self.moving[arg]:
                    walk(arg, now, summed and self.nodes[arg].op in ("add", "sub", "neg"))

        walk(index, "", summed and not self._is_boxed(top))
        return list(found)

    def _is_boxed(self, node: Node) -> bool:
        """Whether the node's own formula is shown, so that roles need not stand at the arrows."""
        return len(self._rows(node)) == 1
