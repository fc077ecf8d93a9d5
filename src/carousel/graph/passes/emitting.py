"""Turns the nodes of one part of a program into phases: products and the elementwise code that follows them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from carousel.graph.passes.dag import ROW_OPS, Dag
from carousel.graph.passes.program import Instruction, Program, Value

Stores = dict[int, list[Value]]  # where the value of a node must go

MOST_PRODUCTS = 32  # of one phase, whose operands are numbered
FUSED = {("add", 0): "fma", ("add", 1): "fma", ("sub", 0): "fms", ("sub", 1): "fnma"}


@dataclass
class Product:
    """A sum of matrix products, and what it starts from."""

    segments: list[int]
    init: int | None = None


class Emitter:
    """Turns the nodes of one part of a block into phases.

    A phase is a set of products and then elementwise code of one width; whatever needs a whole row of a value
    (products, row operations) waits for the phase that makes it. `read` gives the operand of a value that is there
    already; `stores` where a node's value must go; `scratch` is the kind of space for values that only later phases of
    this part read.
    """

    def __init__(
        self, program: Program, dag: Dag, nodes: set[int], stores: dict[int, list[Value]], read: Callable, scratch: str
    ) -> None:
        self.program, self.dag, self.read, self.scratch = program, dag, read, scratch
        self.nodes = sorted(nodes)
        self.inside = nodes
        self.stores = {n: list(v) for n, v in stores.items() if n in nodes}
        self.copies = {n: list(v) for n, v in stores.items() if n not in nodes}
        self.uses = Counter(a for n in self.nodes for a in set(dag[n].args))
        self.products: dict[int, Product] = {}
        self.absorbed: set[int] = set()
        self.fused: dict[int, int] = {}
        self.home: dict[int, Value] = {}
        self.first: list[list] = []  # phases before all others

    def phases(self) -> list[list]:
        self._join_products()
        self._fuse_multiplications()
        stage = self._stages()
        out: list[list] = []
        live = [n for n in self.nodes if n not in self.absorbed]
        self._assign_homes(live, stage)
        out += self.first
        for s in range(-1, max(stage.values(), default=-1) + 1):
            here = [n for n in live if stage[n] == s]
            for n in here:
                if self._is_row_operation(n):
                    out += self._row_phases(n)
            out += self._blocked_products([n for n in here if self._is_blocked(n)])
            in_tiles = [n for n in here if not self._is_row_operation(n)]
            for width in sorted({self.dag[n].width for n in in_tiles}):
                phase = self._tile_phase([n for n in in_tiles if self.dag[n].width == width], width)
                out += [phase] if phase[2] or phase[3] else []
        return self._with_copies(out)

    # ---- what is computed together

    def _single(self, n: int) -> bool:
        return self.uses[n] == 1 and n not in self.stores

    def _join_products(self) -> None:
        """Products into the same sum become one, which starts from a value that is there already."""
        for n in self.nodes:
            node = self.dag[n]
            if node.op == "matmul":
                self.products[n] = Product([n])
            elif node.op == "add" and node.args[0] != node.args[1]:
                self._join_sum(n, *node.args)

    def _join_sum(self, n: int, a: int, b: int) -> None:
        for product, other in ((a, b), (b, a)):
            mine = self.products.get(product)
            if mine is None or not self._single(product):
                continue
            theirs = self.products.get(other)
            alike = theirs is not None and self._heads(theirs) == self._heads(mine)
            if theirs is not None and alike and self._single(other) and None in (mine.init, theirs.init):
                init = theirs.init if mine.init is None else mine.init
                self.products[n] = Product(mine.segments + theirs.segments, init)
                self.absorbed |= {product, other}
                return
            outside = (
                other not in self.inside
                and self.dag[other].op != "number"
                and self.dag[other].width == self.dag[n].width
            )
            if mine.init is None and outside:
                self.products[n] = Product(mine.segments, other)
                self.absorbed.add(product)
                return

    def _fuse_multiplications(self) -> None:
        for n in self.nodes:
            node = self.dag[n]
            if node.op not in ("add", "sub") or n in self.products:
                continue
            for side, a in enumerate(node.args):
                if (
                    a in self.inside
                    and self.dag[a].op == "mul"
                    and self._single(a)
                    and self.dag[a].width == node.width
                    and node.args[0] != node.args[1]
                ):
                    self.fused[n] = side
                    self.absorbed.add(a)
                    break

    def _operands(self, n: int) -> list[int]:
        """What node n reads, with everything absorbed into it resolved."""
        if n in self.products:
            product = self.products[n]
            return [self.dag[s].args[0] for s in product.segments] + ([] if product.init is None else [product.init])
        args = list(self.dag[n].args)
        if n in self.fused:
            side = self.fused[n]
            args = [*self.dag[args[side]].args, args[1 - side]]
        return args

    def _heads(self, product: Product) -> int:
        heads: int = self.dag[product.segments[0]]["heads"]
        return heads

    def _is_blocked(self, n: int) -> bool:
        return n in self.products and self._heads(self.products[n]) > 1

    def _is_row_operation(self, n: int) -> bool:
        return self.dag[n].op in ROW_OPS

    def _needs_rows(self, n: int) -> bool:
        return n in self.products or self._is_row_operation(n)

    def _stages(self) -> dict[int, int]:
        """How many whole-row operations stand before each node."""
        stage: dict[int, int] = {}
        for n in self.nodes:
            if n not in self.absorbed:
                inner = max((stage[a] for a in self._operands(n) if a in stage), default=-1)
                only_a_name = self.dag[n].op == "slice" and inner < 0  # columns of something from elsewhere
                stage[n] = -1 if only_a_name else max(0, inner + self._needs_rows(n))
        self._compute_late(stage)
        return stage

    def _compute_late(self, stage: dict[int, int]) -> None:
        """Elementwise values that only later stages read are computed there, or they would be stored in between."""
        readers: dict[int, list[int]] = defaultdict(list)
        for n in stage:
            for a in self._operands(n):
                readers[a].append(n)

        def latest(n: int) -> int:
            return min((stage[r] - self._needs_rows(r) for r in readers[n]), default=stage[n])

        def movable(n: int, to: int) -> bool:
            """Whether nothing else would have to be stored instead."""
            if n not in stage or stage[n] >= to or n in self.stores:
                return True
            mine = not self._needs_rows(n) and latest(n) >= to
            return mine and all(movable(a, to) for a in self._operands(n))

        for n in reversed(stage):
            if n not in self.stores and movable(n, latest(n)):
                stage[n] = max(stage[n], latest(n))

    def _assign_homes(self, live: list[int], stage: dict[int, int]) -> None:
        """The operand from which each node's value is read inside this part."""
        outlives: set[int] = set()
        for n in live:
            for a in self._operands(n):
                if a in stage:
                    same_phase = stage[a] == stage[n] and self.dag[a].width == self.dag[n].width
                    if self._needs_rows(n) or self._is_blocked(a) or not same_phase:
                        outlives.add(a)
        for n in reversed(live):  # what is put together tells its parts where to go
            width = self.dag[n].width
            places = self.stores.setdefault(n, [])
            if self.dag[n].op == "slice":
                continue
            if places:
                self.home[n] = places[0]
            elif n in outlives or self._is_row_operation(n) or self._is_blocked(n):
                self.home[n] = self.program.value(self.scratch, width, fresh=True)
            else:
                self.home[n] = self.program.value("temp", width, fresh=True)
            if self.dag[n].op == "concat":
                self._place_parts(n)
        for n in live:
            if self.dag[n].op == "slice":
                source = self.dag[n].args[0]
                self.home[n] = self.program.view(self.operand(source), self.dag[n]["start"], self.dag[n].width)

    def _place_parts(self, n: int) -> None:
        """The values that stand side by side in n are written, or copied, to where they stand."""
        column = 0
        for a in self.dag[n].args:
            width = self.dag[a].width
            place = self.program.view(self.home[n], column, width)
            if a in self.inside:
                self.stores.setdefault(a, []).append(place)
            else:
                self.first.append(["tile", width, [], [["copy", place, self.read(a), -1, -1]]])
            column += width

    def operand(self, n: int) -> Value:
        return self.home[n] if n in self.home else self.read(n)

    def _copies_of(self, n: int) -> list[Instruction]:
        home = self.home[n]
        return [["copy", v, home, -1, -1] for v in self.stores[n] if v != home]

    # ---- phases

    def _row_phases(self, n: int) -> list[list]:
        node, home, phases = self.dag[n], self.home[n], []
        names_only = node.op in ("slice", "concat")
        if not names_only and self._normalized(n) is None:
            results = [home, *(self.home[m] for m in self.nodes if self._normalized(m) == n)]
            number = node.get("n", node.get("start", 0))
            sources = [self.operand(a) for a in node.args]
            phases = [["row", node.op, results, sources, number, node.get("eps", 0.0)]]
        if copies := self._copies_of(n):
            phases.append(["tile", node.width, [], copies])
        return phases

    def _normalized(self, n: int) -> int | None:
        """The normalisation of the same row here, which gives 1/std on the way, if n is that."""
        node = self.dag[n]
        if node.op != "rstd":
            return None
        known = self.dag.known.get(("normalize", node.args, self.dag[node.args[0]].width, node.attr))
        return known if known in self.inside else None

    def _blocked_products(self, nodes: list[int]) -> list[list]:
        """Block-diagonal products, those of all heads and all nodes in one phase of the width of a head."""
        by_width: dict[int, list[list]] = defaultdict(list)
        for n in nodes:
            heads = self._heads(self.products[n])
            rows = self.dag[n].width // heads
            by_width[rows] += [self._product(n, head, heads) for head in range(heads)]
        return [
            ["tile", width, products[i : i + MOST_PRODUCTS], []]
            for width, products in by_width.items()
            for i in range(0, len(products), MOST_PRODUCTS)
        ]

    def _tile_phase(self, nodes: Iterable[int], width: int) -> list:
        products, code = [], []
        for n in nodes:
            if n not in self.products:
                code.append(self._instruction(n))
            elif not self._is_blocked(n):
                products.append(self._product(n))
            code += self._copies_of(n)
        return ["tile", width, products, self._reuse_temps(products, code)]

    def _product(self, n: int, head: int = 0, heads: int = 1) -> list:
        """The product of a node, or of one head of it."""
        product, program = self.products[n], self.program

        def part(value: Value, width: int) -> Value:
            return program.view(value, head * (width // heads), width // heads) if heads > 1 else value

        segments = []
        for s in product.segments:
            node = self.dag[s]
            source = part(self.operand(node.args[0]), self.dag[node.args[0]].width)
            segments.append([program.matrix(node["matrix"], head), int(node["transposed"]), source])
        width = self.dag[n].width
        init = -1 if product.init is None else part(self.operand(product.init), width)
        return [part(self.home[n], width), init, segments]

    def _instruction(self, n: int) -> Instruction:
        op = FUSED[self.dag[n].op, self.fused[n]] if n in self.fused else self.dag[n].op
        args = [self.operand(a) for a in self._operands(n)]
        return [op, self.home[n], *args, *[-1] * (3 - len(args))]

    def _reuse_temps(self, products: list, code: list[Instruction]) -> list[Instruction]:
        """Give tiles whose value is read no more to later values, so that a phase touches little memory."""
        values = self.program.values
        last = {v: i for i, line in enumerate(code) for v in line[2:] if v >= 0 and values[v][0] == "temp"}
        free: list[Value] = []
        name = {p[0]: p[0] for p in products}
        out = []
        for i, (op, dst, *args) in enumerate(code):
            new_args = [name.get(a, a) for a in args]
            free += {name[a] for a in args if last.get(a) == i}
            if values[dst][0] == "temp" and dst not in name:
                name[dst] = free.pop() if free else dst
            out.append([op, name.get(dst, dst), *new_args])
        return out

    def _with_copies(self, phases: list[list]) -> list[list]:
        """The phases, and the values that are there already and must go somewhere as they are."""
        for n, places in self.copies.items():
            for place in places:
                width = self.program.values[place][1]
                copy = ["copy", place, self.read(n), -1, -1]
                host = next((p for p in phases if p[0] == "tile" and p[1] == width), None)
                if host is None:
                    phases.append(["tile", width, [], [copy]])
                else:
                    host[3].append(copy)
        return phases
