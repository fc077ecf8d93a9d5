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

from carousel.graph.cell import Cell
from carousel.train.online.derivation import Derivation

FORMS = ("auto", "traces", "exact")
Reference = tuple[int, int]  # a node and which of its elements
MOST = 1 << 22  # elements a net


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


def sensitivities(net: Derivation, form: str, cell: Cell) -> Sensitivities:
    """The lines of a net. Raises ValueError where `form` is "traces" and the states depend on each other, or where
    there are too many."""
    g = net.g
    elements = [(k, i) for k in net.live for i in range(g[net.states[k]].width)]
    number = {element: i for i, element in enumerate(elements)}
    jacobian = _entries(net, {net.states[k]: k for k in net.live}, number)
    if form == "traces":
        _check_diagonal(jacobian, elements, cell)
    before: dict[int, dict[int, Reference]] = {i: {} for i in range(len(elements))}
    for (i, j), reference in jacobian.items():
        before[i][j] = reference
    after = [(1 << len(elements)) - 1] * len(elements) if form == "exact" else _after(before)
    groups: dict[object, tuple[list[int], dict]] = {}
    for leaf in net.leaves:
        grows = {
            (number[k, i], r): _reference(net, sparse.value, p)
            for k in net.live
            if (sparse := net.rates[k].get(leaf))
            for p, (i, r) in enumerate(sparse.pairs)
        }
        if grows:
            groups.setdefault((g[leaf].width, *sorted(grows.items())), ([], grows))[0].append(leaf)
    reached = [_reached(grows, after) for _, grows in groups.values()]
    _check_number(net, [leaves for leaves, _ in groups.values()], reached, cell)
    made = zip(groups.values(), reached, strict=True)
    return Sensitivities(elements, [_group(leaves, rows, grows, before) for (leaves, grows), rows in made])


def columns(net: Derivation, leaf: int) -> int:
    """How many weights stand in a row of a leaf."""
    return int(net.g[leaf]["inner"]) if net.g[leaf].op == "matmul" else 1


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


def _after(before: dict[int, dict[int, Reference]]) -> list[int]:
    """For each state element those that it reaches at any later step, itself among them, as the bits of a number."""
    found = [1 << j for j in before]
    for i, sources in before.items():
        for j in sources:
            found[j] |= 1 << i
    for k in before:
        for j in before:
            if found[j] >> k & 1:
                found[j] |= found[k]
    return found


def _reached(grows: Iterable[tuple[int, int]], after: list[int]) -> dict[int, int]:
    """For each row of weights the state elements, as bits, of which the sensitivities can differ from zero."""
    rows: dict[int, int] = {}
    for i, r in sorted(grows, key=lambda pair: pair[1]):
        rows[r] = rows.get(r, 0) | after[i]
    return rows


def _group(leaves: list[int], reached: dict[int, int], grows: dict, before: dict) -> Group:
    pairs = [(i, r) for r, bits in reached.items() for i in before if bits >> i & 1]
    place = {pair: p for p, pair in enumerate(pairs)}
    terms = [[(factor, place[j, r]) for j, factor in before[i].items() if (j, r) in place] for i, r in pairs]
    return Group(leaves, pairs, [grows.get(pair) for pair in pairs], terms)


def _check_number(net: Derivation, groups: list[list[int]], reached: list[dict[int, int]], cell: Cell) -> None:
    lines = [sum(bits.bit_count() for bits in rows.values()) for rows in reached]
    count = sum(n * sum(columns(net, leaf) for leaf in leaves) for n, leaves in zip(lines, groups, strict=True))
    if count > MOST:
        raise ValueError(
            f"Online: {cell.name} has {count} sensitivities of states with respect to weights, expected {MOST} a net "
            f"at most. Make it smaller, or stop the gradient between units (stop_gradient in the equations)."
        )


def _check_diagonal(jacobian: Iterable[tuple[int, int]], elements: list[tuple[int, int]], cell: Cell) -> None:
    """Elements may depend on the elements of the same number, also of other states."""
    for i, j in jacobian:
        if elements[i][1] != elements[j][1]:
            raise ValueError(
                f'Online: form is "traces", but in {cell.name} units of {cell.states[elements[i][0]]} depend on other '
                f"units of {cell.states[elements[j][0]]} before. Stop the gradient there (stop_gradient, or an option "
                f'such as truncate=True), or take form="exact".'
            )
