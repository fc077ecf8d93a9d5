"""The step graph at concrete widths: hash-consed nodes that the passes rewrite, simplified as they are made.

A node knows how often it changes, its *level*: parameters never change (`CONSTANT`), static inputs change with the
batch row (`SEQUENCE`), inputs with the step (`STEP`), and whatever reads a state waits for the step before (`LOOP`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from carousel.graph.levels import CONSTANT, LOOP, SEQUENCE, STEP

LEAVES = {
    "number": CONSTANT,
    "vector": CONSTANT,
    "batch": SEQUENCE,
    "step": STEP,
    "grad_out": STEP,
    "state": LOOP,
    "carry": LOOP,
}
UNARY = frozenset("neg sigmoid tanh exp log softplus relu abs sign sqrt sin cos floor recip positive copy".split())
BINARY = frozenset("add sub mul div maximum minimum lt le gt ge eq ne dsigmoid dtanh".split())
ELEMENTWISE = UNARY | BINARY | {"where", "clip"}
ROW_OPS = frozenset(
    "mean sum softmax normalize rstd normalize_grad softmax_grad expand blocksum slice pad concat".split()
)
CHEAP_ROW_OPS = frozenset("expand blocksum slice pad concat".split())
COMMUTATIVE = frozenset("add mul maximum minimum eq ne".split())

FOLD: dict[str, Callable[..., float]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "tanh": math.tanh,
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on row vectors: its name, operands, width, level and fixed attributes."""

    op: str
    args: tuple[int, ...]
    width: int
    level: int
    attr: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return dict(self.attr)[name]

    def get(self, name: str, default: Any = None) -> Any:
        return dict(self.attr).get(name, default)


@dataclass
class Dag:
    """Nodes in topological order; equal nodes are one node."""

    nodes: list[Node] = field(default_factory=list)
    known: dict[tuple, int] = field(default_factory=dict)

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    def __len__(self) -> int:
        return len(self.nodes)

    def add(self, op: str, args: Iterable[int] = (), width: int = 1, **attr: object) -> int:
        """The node (op, args, attr), made if it is new."""
        args = tuple(args)
        key = (op, args, width, tuple(sorted(attr.items())))
        if key not in self.known:
            level = LEAVES[op] if op in LEAVES else max(self[a].level for a in args)
            self.known[key] = len(self.nodes)
            self.nodes.append(Node(op, args, width, level, key[3]))
        return self.known[key]

    def number(self, value: float) -> int:
        return self.add("number", value=float(value))

    def is_number(self, index: int, value: float | None = None) -> bool:
        node = self[index]
        return node.op == "number" and (value is None or node["value"] == value)

    def value(self, index: int) -> float:
        return self[index]["value"]

    def ew(self, op: str, *args: int, **attr: object) -> int:
        """An elementwise node, simplified where the result keeps its width."""
        width = max(self[a].width for a in args)
        simple = self.simplify(op, args)
        if simple is not None and self[simple].width == width:
            return simple
        if op in COMMUTATIVE and args[0] > args[1]:
            args = (args[1], args[0])
        return self.add(op, args, width, **attr)

    def simplify(self, op: str, args: tuple[int, ...]) -> int | None:
        """A node equal to op(args) by the rules of arithmetic, or None."""
        if op in FOLD and all(self.is_number(a) for a in args):
            return self.number(FOLD[op](*map(self.value, args)))
        rule = getattr(self, f"_simplify_{op}", None)
        return rule(*args) if rule else None

    def _negated(self, index: int) -> int | None:
        return self[index].args[0] if self[index].op == "neg" else None

    def _simplify_add(self, a: int, b: int) -> int | None:
        if self.is_number(a, 0):
            return b
        if self.is_number(b, 0):
            return a
        if (minus := self._negated(b)) is not None:
            return self.ew("sub", a, minus)
        if (minus := self._negated(a)) is not None:
            return self.ew("sub", b, minus)
        return None

    def _simplify_sub(self, a: int, b: int) -> int | None:
        if self.is_number(b, 0):
            return a
        if self.is_number(a, 0):
            return self.ew("neg", b)
        if (minus := self._negated(b)) is not None:
            return self.ew("add", a, minus)
        inner = self[b]
        if inner.op == "sub" and self.is_number(a) and self.is_number(inner.args[0], self.value(a)):
            return inner.args[1]  # 1 - (1 - x)
        return None

    def _simplify_mul(self, a: int, b: int) -> int | None:
        for u, v in ((a, b), (b, a)):
            if self.is_number(u, 1):
                return v
            if self.is_number(u, -1):
                return self.ew("neg", v)
            if (minus := self._negated(u)) is not None:
                return self.ew("neg", self.ew("mul", minus, v))
        return None

    def _simplify_div(self, a: int, b: int) -> int | None:
        if self.is_number(b) and self.value(b) != 0:
            return self.ew("mul", a, self.number(1 / self.value(b)))
        return self.ew("recip", b) if self.is_number(a, 1) else None

    def _simplify_neg(self, a: int) -> int | None:
        if (minus := self._negated(a)) is not None:
            return minus
        return self.ew("sub", *reversed(self[a].args)) if self[a].op == "sub" else None

    def row(self, op: str, args: Iterable[int], width: int, **attr: object) -> int:
        """A whole-row operation; sums over a single column are that column, neighbouring slices are one."""
        args = tuple(args)
        if op in ("sum", "mean") and self[args[0]].width == 1:
            return args[0]
        if op == "concat":
            args = self._joined(args)
        if (op == "concat" and len(args) == 1) or (op == "slice" and self[args[0]].width == width):
            return args[0]
        return self.add(op, args, width, **attr)

    def _joined(self, parts: Iterable[int]) -> tuple[int, ...]:
        """What stands side by side, with slices of one value that follow each other as one slice."""
        joined: list[int] = []
        for part in parts:
            last, node = self[joined[-1]] if joined else None, self[part]
            if last and last.op == node.op == "slice" and last.args == node.args:
                if last["start"] + last.width == node["start"]:
                    joined[-1] = self.row("slice", node.args, last.width + node.width, start=last["start"])
                    continue
            joined.append(part)
        return tuple(joined)

    def ancestors(self, roots: Iterable[int], stop: Callable[[int], bool] = lambda _: False) -> set[int]:
        """The roots and all that they are computed from, not looking behind nodes where `stop` holds."""
        seen: set[int] = set()
        todo = list(roots)
        while todo:
            index = todo.pop()
            if index not in seen:
                seen.add(index)
                if not stop(index):
                    todo.extend(self[index].args)
        return seen

    def dependents(self, leaves: Iterable[int]) -> set[int]:
        """All nodes computed from one of the leaves, these included."""
        found = set(leaves)
        for index, node in enumerate(self.nodes):
            if any(a in found for a in node.args):
                found.add(index)
        return found
