"""Forward mode of one step: the derivatives of its values with respect to leaves, as far as they are not zero.

A derivative is `Sparse`: which elements depend on which, and a row of the graph that holds how. Truncation is in it
already: nothing passes a `stop`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from carousel.graph.passes.dag import Dag
from carousel.graph.passes.derivative import FLAT, RULES
from carousel.train.online.primitives import ELEMENTWISE, place, take


@dataclass(frozen=True)
class Sparse:
    """Derivatives of element i with respect to element j, for the `pairs` (i, j) in order; `value` is the row of them,
    or one wide where all are equal."""

    pairs: tuple[tuple[int, int], ...]
    value: int


Derivatives = dict[int, Sparse]  # by leaf


def derivatives(g: Dag, roots: Iterable[int], leaves: Iterable[int]) -> dict[int, Derivatives]:
    """For each node that the roots are computed from its derivatives with respect to the leaves.

    A product with a learned matrix may be such a leaf: its value counts as one, beside what its operand depends on.
    """
    leaves, found = set(leaves), dict[int, Derivatives]()
    for n in sorted(g.ancestors(roots)):
        node = g[n]
        own: Derivatives = {}
        if node.op in ELEMENTWISE and node.op not in FLAT:
            own = _elementwise(g, n, found)
        elif node.op in ("take", "place"):
            moved = _taken if node.op == "take" else _placed
            own = {leaf: moved(g, n, sparse) for leaf, sparse in found[node.args[0]].items()}
        elif node.op == "matmul":
            own = {leaf: _through_matrix(g, n, sparse) for leaf, sparse in found[node.args[0]].items()}
        if n in leaves:
            own[n] = Sparse(tuple((i, i) for i in range(node.width)), g.number(1))
        found[n] = {leaf: sparse for leaf, sparse in own.items() if sparse.pairs and not g.is_number(sparse.value, 0)}
    return found


def _elementwise(g: Dag, n: int, found: dict[int, Derivatives]) -> Derivatives:
    """By the rule of reverse mode, which for one element after the other is that of forward mode."""
    node, own = g[n], Derivatives()
    for position, a in enumerate(node.args):
        for leaf, sparse in found[a].items():
            pairs, value = sparse.pairs, sparse.value
            if g[a].width < node.width:  # one wide, and read by all
                value = take(g, value, [k for _ in range(node.width) for k in range(len(pairs))])
                pairs = tuple((i, j) for i in range(node.width) for _, j in pairs)
            at = [i for i, _ in pairs]
            gradients = RULES[node.op](g, value, take(g, n, at), *(take(g, b, at) for b in node.args))
            made = gradients[position]
            if made is not None:
                own[leaf] = _sum(g, own.get(leaf), Sparse(pairs, made))
    return own


def _sum(g: Dag, one: Sparse | None, other: Sparse) -> Sparse:
    if one is None:
        return other
    if one.pairs == other.pairs:
        return Sparse(one.pairs, g.ew("add", one.value, other.value))
    return _gathered(g, [(one.pairs, one.value), (other.pairs, other.value)])


def _gathered(g: Dag, parts: Iterable[tuple[Iterable[tuple[int, int]], int]]) -> Sparse:
    """The sum of derivatives, in order, each pair once."""
    parts = [(tuple(pairs), value) for pairs, value in parts]
    every = sorted({pair for pairs, _ in parts for pair in pairs})
    number = {pair: k for k, pair in enumerate(every)}
    made = None
    for pairs, value in parts:
        index = tuple(number[pair] for pair in pairs)
        once = len(set(index)) == len(every) == len(index)
        own = value if once and g[value].width == 1 else place(g, value, index, len(every))
        made = own if made is None else g.ew("add", made, own)
    assert made is not None
    return Sparse(tuple(every), made)


def _taken(g: Dag, n: int, sparse: Sparse) -> Sparse:
    of: dict[int, list[int]] = {}
    for k, (i, _) in enumerate(sparse.pairs):
        of.setdefault(i, []).append(k)
    index = [(new, k) for new, i in enumerate(g[n]["index"]) for k in of.get(i, ())]
    pairs = tuple((new, sparse.pairs[k][1]) for new, k in index)
    return Sparse(pairs, _selected(g, sparse.value, [k for _, k in index]))


def _selected(g: Dag, value: int, index: list[int]) -> int:
    if g[value].width == 1 or not index:
        return value
    return g.add("take", (value,), 1, index=tuple(index)) if len(index) == 1 else take(g, value, index)


def _placed(g: Dag, n: int, sparse: Sparse) -> Sparse:
    index = g[n]["index"]
    return _gathered(g, [([(index[i], j) for i, j in sparse.pairs], sparse.value)])


def _through_matrix(g: Dag, n: int, sparse: Sparse) -> Sparse:
    node, rows = g[n], g[n].width
    columns, block = node["inner"], node["block"]
    assert not node["transposed"]
    matrix = g.add("vector", width=rows * columns, source=node["matrix"], block=block)
    weights = take(g, matrix, [r * columns + i for r in range(rows) for i, _ in sparse.pairs])
    value = take(g, sparse.value, [k for _ in range(rows) for k in range(len(sparse.pairs))])
    pairs = [(r, j) for r in range(rows) for _, j in sparse.pairs]
    return _gathered(g, [(pairs, g.ew("mul", weights, value))])
