"""Which quantities of a cell are gates, found in the equations: nobody lists them by hand.

A gate lies between 0 and 1 and says how much of another row goes on. So a value is a gate if

- it changes from step to step or from sequence to sequence (it depends on the input, a state or a side input),
- it cannot leave [0, 1], by interval arithmetic over the equations (a sigmoid, its complement, products and clips of
  such), or it is an exponential (the gates of the sLSTM), or it is used together with its complement, as k and 1 - k,
- and it multiplies a row that also changes and is no gate without a name; either itself, or its complement, or its
  share f / (f + i), scaled by a number, expanded from blocks or cut from the gradient.

A complement that has no name belongs to its gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from carousel.graph.notation.latex import Formulas
from carousel.graph.notation.typeset import plain_text
from carousel.graph.step import COMPARISONS, Node, Step

if TYPE_CHECKING:
    from carousel.graph.cell import Cell

Interval = tuple[float, float]
ANY: Interval = (-math.inf, math.inf)


def gates(cell: Cell) -> dict[str, tuple[int, ...]]:
    """The gates of a cell: what each is called, and its nodes in the step (one for each time that it is computed).

    A gate without a name in the equations is called by its formula, shortened.

    >>> from carousel.cells import elman, gru, lstm
    >>> list(gates(lstm)), list(gates(gru)), list(gates(elman))
    (['f', 'i', 'o'], ['r', 'z'], [])
    """
    formulas = Formulas(cell)
    found: dict[str, tuple[int, ...]] = {}
    for index in gate_nodes(cell.step):
        names = cell.step.nodes[index].names
        state = next((s for s, k in zip(cell.states, cell.step.outputs, strict=True) if k == index), None)
        name = state or (min(names, key=lambda name: name.count(".")) if names else _short(formulas, index))
        found[name] = (*found.get(name, ()), index)
    return found


def gate_nodes(step: Step) -> list[int]:
    """The nodes that are gates, in the order of computation."""
    nodes, moving, bounds = step.nodes, changing(step.nodes), intervals(step.nodes)
    complements = {node.args[1] for node in nodes if node.op == "sub" and _one(nodes[node.args[0]])}

    def closes(index: int) -> bool:
        within = bounds[index][0] >= 0 and bounds[index][1] <= 1
        computed = moving[index] and bool(nodes[index].args) and nodes[index].op not in COMPARISONS
        return computed and (within or nodes[index].op == "exp" or index in complements)

    found = set()
    for node in nodes:
        if node.op == "mul" and node.args[0] != node.args[1]:
            for gate, other in (node.args, node.args[::-1]):
                index = _origin(nodes, gate)
                if moving[other] and closes(index):
                    found.add(index)
    return sorted(index for index in found if nodes[index].names or not _only_beside(step, index, found))


def _origin(nodes: list[Node], index: int) -> int:
    """The gate behind an unnamed factor: behind a complement, a scale, a share, an expansion or a stopped gradient."""
    node = nodes[index]
    while not node.names:
        if node.op in ("stop", "clip_gradient", "expand", "slice", "div"):
            index = node.args[0]
        elif node.op == "sub" and _one(nodes[node.args[0]]):
            index = node.args[1]
        elif node.op == "mul" and "number" in (kinds := [nodes[arg].op for arg in node.args]):
            index = node.args[1 - kinds.index("number")]
        else:
            break
        node = nodes[index]
    return index


def _only_beside(step: Step, index: int, found: set[int]) -> bool:
    """Whether an unnamed value multiplies nothing but named gates: then it is what they let through."""
    partners = [
        {_origin(step.nodes, a) for a in node.args} - {index}
        for node in step.nodes
        if node.op == "mul" and index in {_origin(step.nodes, a) for a in node.args}
    ]
    return all(any(step.nodes[p].names and p in found for p in others) for others in partners)


def _one(node: Node) -> bool:
    return node.op == "number" and node.attr["value"] == 1


def changing(nodes: list[Node]) -> list[bool]:
    """Whether each node depends on the input, a state or a side input."""
    moving: list[bool] = []
    for node in nodes:
        moving.append(node.op in ("input", "state", "side", "time") or any(moving[arg] for arg in node.args))
    return moving


def _short(formulas: Formulas, index: int) -> str:
    """An unnamed gate's formula, of which a long argument is left out."""
    text = plain_text(formulas.formula(index))
    head, bracket, rest = text.partition("(")
    return text if len(text) <= 12 else f"{head}({rest.split()[0]} …)" if bracket else text[:11] + "…"


# -- interval arithmetic


def intervals(nodes: list[Node]) -> list[Interval]:
    """Bounds of every node, whatever the input, the states and the parameters are.

    >>> from carousel.cells import lstm
    >>> intervals(lstm.step.nodes)[lstm.step.names["f"]]
    (0.0, 1.0)
    """
    found: list[Interval] = []
    for node in nodes:
        rule = RULES.get(node.op)
        found.append(rule(node, *(found[arg] for arg in node.args)) if rule else ANY)
    return found


def _product(a: Interval, b: Interval) -> Interval:
    corners = [0.0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(corners), max(corners)


def _hull(*parts: Interval) -> Interval:
    return min(low for low, _ in parts), max(high for _, high in parts)


def _exp(a: float) -> float:
    return math.exp(a) if a < 700 else math.inf


RULES: dict[str, Callable[..., Interval]] = {
    "number": lambda node: (node.attr["value"], node.attr["value"]),
    "sigmoid": lambda node, a: (0.0, 1.0),
    "softmax": lambda node, a: (0.0, 1.0),
    "tanh": lambda node, a: (-1.0, 1.0),
    "sin": lambda node, a: (-1.0, 1.0),
    "cos": lambda node, a: (-1.0, 1.0),
    "exp": lambda node, a: (_exp(a[0]), _exp(a[1])),
    "softplus": lambda node, a: (0.0, math.inf),
    "relu": lambda node, a: (max(a[0], 0.0), max(a[1], 0.0)),
    "abs": lambda node, a: (0.0, max(abs(a[0]), abs(a[1]))),
    "clip": lambda node, a: (node.attr["low"], node.attr["high"]),
    "neg": lambda node, a: (-a[1], -a[0]),
    "add": lambda node, a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda node, a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": lambda node, a, b: _product(a, b),
    "div": lambda node, a, b: _product(a, (1 / b[0], 1 / b[0])) if b[0] == b[1] != 0 else ANY,
    "maximum": lambda node, a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "minimum": lambda node, a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "where": lambda node, condition, a, b: _hull(a, b),
    "concat": lambda node, *parts: _hull(*parts),
    **{op: lambda node, a: a for op in ("stop", "clip_gradient", "expand", "slice", "mean")},
    **{op: lambda node, *_: (0.0, 1.0) for op in COMPARISONS},
}
