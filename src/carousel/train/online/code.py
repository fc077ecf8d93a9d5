"""Instructions of the core from nodes of a graph, and the places of their results.

Places are numbers of elements from the beginning of a block of nets (csrc/online/code.hpp has the instructions).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from carousel.graph.passes.dag import Dag
from carousel.train.online.primitives import ELEMENTWISE

Instruction = list[Any]
NONE, NOTHING = -1, -2  # in the place of a factor: 1, and 0


class Space:
    """Places in a block."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, n: int) -> int:
        """The first of n new places."""
        self.size += n
        return self.size - n


class Code:
    """Nodes of a graph as instructions.

    `places` holds the leaves: inputs, states, seeds by node, parameters by the node of the trace. `roots` are the nodes
    that somebody else reads.
    """

    def __init__(
        self,
        g: Dag,
        space: Space,
        places: Mapping[int, int],
        parameters: Mapping[int, int],
        input: int,
        roots: set[int],
    ):
        self.g, self.space, self.input = g, space, input
        self.places, self.parameters = dict(places), parameters
        self.constants: dict[tuple[float, int], int] = {}
        self.reads_input = False  # otherwise than as the operand of a matrix
        self.wide: dict[tuple[int, int], int] = {}
        self.done: set[int] = set()
        needed = g.ancestors(roots)
        uses = Counter(a for n in needed for a in g[n].args) + Counter({n: 2 for n in roots})
        self.sums, self.absorbed = _sums(g, sorted(needed, reverse=True), uses)

    def section(self, roots: Iterable[int]) -> list[Instruction]:
        """The instructions for what the roots need beyond what earlier sections computed."""
        code: list[Instruction] = []
        for n in sorted(self.g.ancestors(roots, lambda n: n in self.done)):
            if n not in self.done and n not in self.absorbed:
                self._emit(n, code)
                self.done.add(n)
        return code

    def at(self, n: int, width: int, code: list[Instruction]) -> int:
        """The place of a node's value, as wide as it is read."""
        node = self.g[n]
        if node.op == "stop":
            return self.at(node.args[0], width, code)
        if node.op == "number":
            return self.constant(node["value"], width)
        if n == self.input:
            self.reads_input = True
        if node.width == width:
            return self.place(n)
        assert node.width == 1
        if (n, width) not in self.wide:
            self.wide[n, width] = self.space.take(width)
            code.append(["take", width, self.wide[n, width], self.place(n), [0] * width])
        return self.wide[n, width]

    def place(self, n: int) -> int:
        """The place of a node's value that is as wide as the node."""
        node = self.g[n]
        if node.op == "stop":
            return self.place(node.args[0])
        if node.op == "number":
            return self.constant(node["value"], 1)
        if node.op == "vector":
            return self.parameters[node["source"]] + node.get("block", 0) * node.width
        return self.places[n]

    def constant(self, value: float, width: int) -> int:
        """The place of a number, so many times."""
        if (value, width) not in self.constants:
            self.constants[value, width] = self.space.take(width)
        return self.constants[value, width]

    def operand(self, u: int, width: int, code: list[Instruction]) -> tuple[int, int]:
        """The place of what a matrix multiplies, and whether it is the input, of which the index may be given."""
        return (self.places[u], 1) if u == self.input else (self.at(u, width, code), 0)

    def _emit(self, n: int, code: list[Instruction]) -> None:
        node = self.g[n]
        if node.op in ("number", "vector", "step", "state", "grad_out", "stop"):
            return
        if n in self.sums:
            products, rows = self.sums[n]
            added = [self.at(r, node.width, code) for r in rows]
            segments = [self._segment(p, code) for p in products]
            instruction = ["affine", node.width, self._new(n), added, segments]
        elif node.op in ELEMENTWISE:
            instruction = [node.op, node.width, 0, *(self.at(a, node.width, code) for a in node.args)]
            instruction[2] = self._new(n)
        else:
            (a,) = node.args
            index = list(node["index"])
            width = self.g[a].width if node.op == "take" else len(index)
            instruction = [node.op, node.width, 0, self.at(a, width, code), index]
            instruction[2] = self._new(n)
        code.append(instruction)

    def _new(self, n: int) -> int:
        self.places[n] = self.space.take(self.g[n].width)
        return self.places[n]

    def _segment(self, n: int, code: list[Instruction]) -> list[int]:
        node, (u,) = self.g[n], self.g[n].args
        matrix = self.parameters[node["matrix"]] + node["block"] * node.width * node["inner"]
        strides = (1, node.width) if node["transposed"] else (node["inner"], 1)
        place, is_input = self.operand(u, node["inner"], code)
        return [matrix, *strides, place, node["inner"], is_input]


def _sums(g: Dag, nodes: list[int], uses: Counter[int]) -> tuple[dict[int, tuple[list[int], list[int]]], set[int]]:
    """Products and what is added to them, for one instruction; and what is computed nowhere else."""
    sums: dict[int, tuple[list[int], list[int]]] = {}
    absorbed: set[int] = set()
    for n in nodes:
        if n in absorbed or g[n].op not in ("add", "matmul"):
            continue
        inner = _inside(g, n, uses) if g[n].op == "add" else {n}
        products = [m for m in sorted(inner) if g[m].op == "matmul"]
        if products:
            absorbed |= inner - {n}
            rows = [a for m in sorted(inner) if g[m].op == "add" for a in g[m].args if a not in inner]
            sums[n] = products, rows
    return sums, absorbed


def _inside(g: Dag, n: int, uses: Counter[int]) -> set[int]:
    """The additions and products that only the sum n reads, itself included."""
    found = {n}
    for a in g[n].args:
        if uses[a] == 1 and g[a].width == g[n].width:
            if g[a].op == "add":
                found |= _inside(g, a, uses)
            elif g[a].op == "matmul":
                found.add(a)
    return found
