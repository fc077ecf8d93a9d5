"""What was derived from a cell, in words: what leaves the loop, which products run together, what is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from carousel.graph.cell import Cell
from carousel.graph.levels import STEP
from carousel.graph.passes.compiling import Derived, derive, leaves
from carousel.graph.passes.dag import Dag
from carousel.graph.passes.plan import backward_nodes, place_backward, place_forward

SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}


def describe(cell: Cell) -> str:
    """The decisions of the native engine for a cell in training, with a gradient for every parameter and input.

    >>> from carousel import cells
    >>> print(describe(cells.lstm))  # doctest: +ELLIPSIS
    before the loop: W_f, W_i, ... @ x
    in the loop: U_f, U_i, ... @ h
    kept for backward: ...
    """
    sizes = tuple((name, 16 * (7 + i)) for i, name in enumerate(cell.sizes))
    derived = derive(cell, sizes, (), leaves(cell, sizes, ()))
    words = Words(cell, derived)
    dag, where = derived.step.dag, place_forward(derived.step, derived.kept)
    kept = [f"{cell.states[k]} (before and after each step)" for k in sorted(derived.kept.states)]
    kept += [words(n) for n in derived.kept.values]
    lines = {
        "once a sequence": words.outside(),
        "before the loop": words.products(n for n in where.before if dag[n].level == STEP),
        "in the loop": words.products(where.loop),
        "after the loop": words.products(where.after),
        "kept for backward": ", ".join(kept),
        "recomputed by backward": words.recomputed(),
    }
    return "\n".join(f"{title}: {text}" for title, text in lines.items() if text)


class Words:
    """Names of nodes, or their expressions where the equations give no name."""

    def __init__(self, cell: Cell, derived: Derived) -> None:
        self.cell, self.derived, self.dag = cell, derived, derived.step.dag
        self.names = dict(derived.step.names)
        self.names |= {s: cell.states[k] for k, s in enumerate(derived.step.states)}

    def __call__(self, n: int, depth: int = 3) -> str:
        node = self.dag[n]
        if n in self.names:
            return self.names[n]
        if node.op == "number":
            return f"{node['value']:g}"
        if node.op in ("vector", "batch", "step"):
            return self.trace_name(node["source"])
        if depth == 0:
            return "..."
        args = [self(a, depth - 1) for a in node.args]
        if node.op == "matmul":
            return f"{self.trace_name(node['matrix'])} @ {args[0]}"
        if node.op in SYMBOLS:
            return f"({args[0]} {SYMBOLS[node.op]} {args[1]})"
        return f"{node.op}({', '.join(args)})"

    def trace_name(self, source: int) -> str:
        """What the equations call a node of the trace."""
        node = self.cell.step.nodes[source]
        if node.names:
            return node.names[0]
        if "name" in node.attr:
            return str(node.attr["name"])
        return f"{node.op}({', '.join(self.trace_name(a) for a in node.args)})" if node.args else node.op

    def products(self, nodes: Iterable[int]) -> str:
        """The matrix products among the nodes, those of the same vector together."""
        grouped: dict[int, list[str]] = defaultdict(list)
        for n in sorted(nodes):
            node: Dag = self.dag
            if node[n].op == "matmul":
                grouped[node[n].args[0]].append(self.trace_name(node[n]["matrix"]))
        return "; ".join(f"{', '.join(matrices)} @ {self(source)}" for source, matrices in grouped.items())

    def outside(self) -> str:
        """Expressions of parameters and per-sequence inputs alone."""
        found = [node for node in self.dag.nodes if node.op in ("vector", "batch")]
        sources = [node["source"] for node in found]
        nodes = self.cell.step.nodes
        return ", ".join(self.trace_name(s) for s in sources if nodes[s].op not in ("parameter", "side"))

    def recomputed(self) -> str:
        """Values of the forward step that backward computes again instead of reading them."""
        where = place_backward(self.derived.step, self.derived.kept)
        again = (where.before | where.loop | where.after) - backward_nodes(self.dag)
        return ", ".join(self(n) for n in sorted(again))
