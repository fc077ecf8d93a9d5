"""A step without its products: each sum of products becomes a side input, and is computed by whoever knows how.

So a convolution takes the place of `@` while the rest of a cell, which works on each position alone, stays a cell that
every engine runs. A product whose row depends on another product of the same step has to wait for it: the step is cut
into *stages*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from carousel.errors import CellError
from carousel.graph.arguments import Side
from carousel.graph.cell import Cell
from carousel.graph.levels import LOOP, SEQUENCE, levels
from carousel.graph.step import Node, Step, ancestors
from carousel.graph.widths import Width


@dataclass(frozen=True)
class Product:
    """`matrix @ row`, two nodes of the step; `level` is how often the row changes."""

    matrix: int
    row: int
    heads: int
    level: int


@dataclass(frozen=True)
class Sum:
    """Products that are added up, and the side input that their sum is to an elementwise cell."""

    side: str
    width: Width
    products: tuple[Product, ...]


@dataclass(frozen=True)
class Stage:
    """One round: compute `sums`, then run `cell`, whose side inputs are these and all sums before.

    `rows` are the nodes of the step that the products of the next stage need, with the name to record each by.
    """

    sums: tuple[Sum, ...]
    cell: Cell
    rows: tuple[tuple[int, str], ...]


@lru_cache(maxsize=512)
def stages(cell: Cell, per_position: frozenset[str] = frozenset()) -> tuple[Stage, ...]:
    """The stages of a cell's step. The first knows the sums that no state enters; the last computes the new states.

    Vectors named in `per_position` become side inputs (kind "sequence"), and so does the index of the step ("step").

    >>> from carousel.cells import lstm
    >>> [[len(sum.products) for sum in stage.sums] for stage in stages(lstm)]
    [[], [2, 2, 2, 2]]
    >>> [name for name in stages(lstm)[-1].cell.sides]
    ['sum_0', 'sum_1', 'sum_2', 'sum_3']
    """
    return _Cut(cell, per_position).stages()


class _Cut:
    def __init__(self, cell: Cell, per_position: frozenset[str]) -> None:
        self.cell, self.step, self.level = cell, cell.step, levels(cell.step, cell.sides)
        self.terms = _sums(self.step)
        self.depth = self._depths()
        self.sums = {root: self._sum(k, root, products) for k, (root, (products, _)) in enumerate(self.terms.items())}
        self.given: dict[int, tuple[str, Side]] = {}
        self.clips: Counter[int] = Counter()
        for n, node in enumerate(self.step.nodes):
            if node.op == "parameter" and node.attr["name"] in per_position:
                self.given[n] = node.attr["name"], _side("sequence", node.width)
            elif node.op == "time":
                self.given[n] = "time", Side("step", 1)

    def _depths(self) -> list[int]:
        """For each node how many products with the states stand before it in a step, one after the other."""
        found: list[int] = []
        for n, node in enumerate(self.step.nodes):
            before = max((found[a] for a in node.args), default=0)
            found.append(before + 1 if node.op == "matmul" and self.level[n] == LOOP else before)
        return found

    def _sum(self, k: int, root: int, products: tuple[int, ...]) -> Sum:
        found = []
        for node in (self.step.nodes[n] for n in products):
            matrix, row = node.args
            found.append(Product(matrix, row, node.attr["heads"], self.level[row]))
        return Sum(f"sum_{k}", self.step.nodes[root].width, tuple(found))

    def stages(self) -> tuple[Stage, ...]:
        at = {root: max(self.depth[n] for n in products) for root, (products, _) in self.terms.items()}
        last, found = max(at.values(), default=0), []
        for stage in range(last + 1):
            sums = tuple(self.sums[root] for root in at if at[root] == stage)
            known = {root for root in at if at[root] <= stage}
            ahead = (p.row for root in at if at[root] == stage + 1 for p in self.sums[root].products)
            rows = [n for n in dict.fromkeys(ahead) if self.level[n] == LOOP and self.step.nodes[n].op != "state"]
            names = tuple((n, f"row_{n}") for n in rows)
            found.append(Stage(sums, self._elementwise(known, names, stage == last), names))
        if any(count > 1 for count in self.clips.values()):
            raise CellError(
                f"{self.cell.name}: a gradient is clipped that comes from products of several stages, or from one and "
                f"from equations unit by unit; where products are not matrix times row, it can come from one of these "
                f"only. Clip the other states: ca.clip_gradients(cell, c=10.0)."
            )
        return tuple(found)

    def _elementwise(self, known: set[int], rows: Iterable[tuple[int, str]], last: bool) -> Cell:
        """The cell whose sums are given. Before the last stage it leaves the states as they are."""
        cell, nodes, made = self.cell, list[Node](), dict[int, int]()
        sides = {self.sums[root].side: self._side(root) for root in self.terms if root in known}

        def build(n: int) -> int:
            if n not in made:
                made[n] = _build(n)
            return made[n]

        def add(node: Node) -> int:
            nodes.append(node)
            return len(nodes) - 1

        def leaf(n: int, name: str) -> Node:
            return Node("side", (), self.step.nodes[n].width, {"name": name}, [], self.step.nodes[n].where)

        def _build(n: int) -> int:
            node = self.step.nodes[n]
            if n in self.given:
                return add(leaf(n, self.given[n][0]))
            if n not in self.terms:
                return add(replace(node, args=tuple(map(build, node.args))))
            total = add(leaf(n, self.sums[n].side))
            for other in self.terms[n][1]:
                total = add(Node("add", (total, build(other)), node.width, {}, [], node.where))
            nodes[total].names = node.names
            return total

        for n, node in enumerate(self.step.nodes):
            if node.op in ("input", "state"):
                build(n)  # the first nodes of every step
        states = sorted((node.attr["k"], made[n]) for n, node in enumerate(self.step.nodes) if node.op == "state")
        outputs = tuple(map(build, self.step.outputs)) if last else tuple(n for _, n in states)
        names = {name: build(n) for name, n in self.step.names.items() if self._row(n)} if last else {}
        names |= {name: build(n) for n, name in rows}
        output = build(self.step.output) if last else outputs[0]
        self._count_clips(nodes, made, (*outputs, output, *(names[name] for _, name in rows)))
        read = {node.attr["name"] for node in nodes if node.op == "parameter"}
        parameters = {name: parameter for name, parameter in self.step.parameters.items() if name in read}
        sides |= dict(self.given.values())
        return Cell.stored(
            equations=cell.equations,
            name=cell.name,
            doc=cell.doc,
            input=cell.input,
            states=cell.states,
            sides={**cell.sides, **sides},
            time=None,
            options={},
            step=Step(nodes, outputs, output, names, parameters),
            sizes=cell.sizes,
            repeats=cell.repeats,
            initial=cell.initial,
            init={},
            fixed={},
        )

    def _count_clips(self, nodes: Sequence[Node], made: Mapping[int, int], ends: Iterable[int]) -> None:
        """Counts for each clip of a gradient the stages that read it: each would clip its own share of the sum."""
        read = ancestors(nodes, ends)
        self.clips.update(n for n, k in made.items() if k in read and self.step.nodes[n].op == "clip_gradient")

    def _row(self, n: int) -> bool:
        return isinstance(self.step.nodes[n].width, Width)

    def _side(self, root: int) -> Side:
        once = max(product.level for product in self.sums[root].products) <= SEQUENCE
        return _side("sequence" if once else "step", self.sums[root].width)


def _side(kind: str, width: Width) -> Side:
    return Side(kind, width)  # type: ignore[arg-type]  # read by Width.of, as what is written out


def _sums(step: Step) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each sum its products, and the terms that are none. Only what is read once and has no name is merged."""
    uses = Counter(a for node in step.nodes for a in node.args) + Counter([*step.outputs, step.output])

    def hidden(n: int) -> bool:
        return uses[n] == 1 and not step.nodes[n].names

    def terms(n: int) -> list[int]:
        """The terms of the sum that is node n."""
        parts = (terms(a) if step.nodes[a].op == "add" and hidden(a) else [a] for a in step.nodes[n].args)
        return [term for part in parts for term in part]

    found: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    merged: set[int] = set()
    for n in reversed(range(len(step.nodes))):
        node = step.nodes[n]
        if node.op == "add" and n not in merged:
            parts = terms(n)
            merged |= _adders(step, n, hidden)
            products = [t for t in parts if step.nodes[t].op == "matmul" and hidden(t)]
            products = [t for t in products if step.nodes[t].width == node.width]  # no other is broadcast
            if products:
                merged |= set(products)
                found[n] = tuple(products), tuple(t for t in parts if t not in products)
        elif node.op == "matmul" and n not in merged:
            found[n] = (n,), ()
    return dict(sorted(found.items()))


def _adders(step: Step, n: int, hidden: Callable[[int], bool]) -> set[int]:
    """The additions inside the sum that is node n."""
    inner = {a for a in step.nodes[n].args if step.nodes[a].op == "add" and hidden(a)}
    return inner.union(*(_adders(step, a, hidden) for a in inner))


def reads_states(cell: Cell) -> dict[str, set[bool]]:
    """For each matrix whether what it multiplies depends on the states; both for one that multiplies either.

    >>> from carousel.cells import elman
    >>> reads_states(elman)
    {'W': {False}, 'U': {True}}
    """
    level, nodes, found = levels(cell.step, cell.sides), cell.step.nodes, dict[str, set[bool]]()
    for node in nodes:
        for n in ancestors(nodes, node.args[:1]) if node.op == "matmul" else ():
            if nodes[n].op == "parameter":
                found.setdefault(nodes[n].attr["name"], set()).add(level[node.args[1]] == LOOP)
    return found
