"""Which sensitivities of states with respect to weights there are, and how a step renews them.

For weights W that multiply a row u, the derivative of state element i with respect to W[r, k] is a line E[i, r, k] over
k, and a step makes of it

    E[i, r, k] = sum_j J[i, j] E[j, r, k] + b[i, r] u[k]

with J the derivatives of the states with respect to those before, b those with respect to the product. Only the lines
that can differ from zero are kept. Where J is diagonal that is one line for each cell that a row of weights
reaches: the traces of the LSTM's appendix, and Mozer's. Where every state reaches every other it is real-time recurrent
learning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from carousel.train.online.derivation import Derivation

FORMS = ("auto", "traces", "exact")
Reference = tuple[int, int]  # a node and which of its elements
MOST = 1 << 24  # elements


@dataclass
class Group:
    """Leaves whose lines are renewed alike, and so stand side by side. `pairs`: state element and row of weights;
    for each what it grows by (b), and the factors of the lines that it is made of (J), by number of their pair."""

    leaves: list[int]
    pairs: list[tuple[int, int]]
    grows: list[Reference | None]
    terms: list[list[tuple[Reference, int]]]

    @property
    def in_place(self) -> bool:
        """Whether every line is made of itself alone."""
        return all([source for _, source in terms] in ([], [p]) for p, terms in enumerate(self.terms))


@dataclass
class Sensitivities:
    """`elements[i]`: the state of element i, and which of its elements it is."""

    elements: list[tuple[int, int]]
    groups: list[Group]


def sensitivities(net: Derivation, form: str, name: str) -> Sensitivities:
    """The lines of a net. Raises ValueError where `form` is "traces" and the states depend on each other."""
    g = net.g
    elements = [(k, i) for k in net.live for i in range(g[net.states[k]].width)]
    number = {element: i for i, element in enumerate(elements)}
    jacobian = _entries(net, {net.states[k]: k for k in net.live}, number)
    if form == "traces":
        _check_diagonal(jacobian, elements, name)
    before: dict[int, dict[int, Reference]] = {i: {} for i in range(len(elements))}
    for (i, j), reference in jacobian.items():
        before[i][j] = reference
    groups: dict[object, Group] = {}
    for leaf in net.leaves:
        grows = {
            (number[k, i], r): _reference(net, sparse.value, p)
            for k in net.live
            if (sparse := net.rates[k].get(leaf))
            for p, (i, r) in enumerate(sparse.pairs)
        }
        if not grows:
            continue
        key = (g[leaf].width, *sorted(grows.items()))
        if key in groups:
            groups[key].leaves.append(leaf)
        else:
            reached = _reached(grows, before, form == "exact", g[leaf].width)
            groups[key] = _group(leaf, reached, grows, before)
    return Sensitivities(elements, list(groups.values()))


def _entries(net: Derivation, states: dict[int, int], number: dict) -> dict[tuple[int, int], Reference]:
    return {
        (number[k, i], number[states[leaf], j]): _reference(net, sparse.value, p)
        for k in net.live
        for leaf, sparse in net.rates[k].items()
        if leaf in states
        for p, (i, j) in enumerate(sparse.pairs)
    }


def _reference(net: Derivation, value: int, p: int) -> Reference:
    return value, 0 if net.g[value].width == 1 else p


def _reached(grows: Iterable[tuple[int, int]], before: dict, every: bool, rows: int) -> list[tuple[int, int]]:
    """The lines that can differ from zero: by row, then by state element."""
    if every:
        return [(i, r) for r in range(rows) for i in before]
    after: dict[int, list[int]] = {}
    for i, sources in before.items():
        for j in sources:
            after.setdefault(j, []).append(i)
    found, todo = set(grows), list(grows)
    while todo:
        j, r = todo.pop()
        for i in after.get(j, ()):
            if (i, r) not in found:
                found.add((i, r))
                todo.append((i, r))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


def _group(leaf: int, pairs: list[tuple[int, int]], grows: dict, before: dict) -> Group:
    place = {pair: p for p, pair in enumerate(pairs)}
    terms = [[(factor, place[j, r]) for j, factor in before[i].items() if (j, r) in place] for i, r in pairs]
    return Group([leaf], pairs, [grows.get(pair) for pair in pairs], terms)


def _check_diagonal(jacobian: Iterable[tuple[int, int]], elements: list[tuple[int, int]], name: str) -> None:
    """Elements may depend on the elements of the same number, also of other states."""
    for i, j in jacobian:
        if elements[i][1] != elements[j][1]:
            raise ValueError(
                f'Online: form is "traces", but in {name} an element of state {elements[i][0]} depends on others of '
                f"state {elements[j][0]} before it. Stop the gradient there (stop_gradient in the equations, or an "
                f'option such as truncate=True), or take form="exact".'
            )
