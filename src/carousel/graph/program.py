"""From placed nodes to the program that the native core runs: plain data, in the format of docs/engine.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from carousel.graph.dag import ELEMENTWISE, ROW_OPS, Dag
from carousel.graph.derivative import StepDag
from carousel.graph.plan import Kept, place_backward, place_forward

Instruction = list
Value = int

FUSED = {("add", 0): "fma", ("add", 1): "fma", ("sub", 0): "fms", ("sub", 1): "fnma"}


@dataclass
class Program:
    """Tables of what comes from outside (`externals`) and of all operands (`values`), and the three parts of a block."""

    externals: list[list] = field(default_factory=list)
    values: list[list] = field(default_factory=list)
    states: list[list[int]] = field(default_factory=list)
    before: list[list] = field(default_factory=list)
    loop: list[list] = field(default_factory=list)
    after: list[list] = field(default_factory=list)
    reduce: list[list] = field(default_factory=list)

    def external(self, shape: str, role: str, name: str) -> int:
        """The number of an outside tensor, entered in the table at its first use."""
        for i, known in enumerate(self.externals):
            if known[2] == name:
                return i
        self.externals.append([shape, role, name])
        return len(self.externals) - 1

    def value(self, kind: str, width: int, extra: object = 0, fresh: bool = False) -> Value:
        """The number of an operand; scratch space is always `fresh`."""
        entry = [kind, width, extra]
        if not fresh and entry in self.values:
            return self.values.index(entry)
        self.values.append(entry)
        return len(self.values) - 1

    def tensor(self, shape: str, role: str, name: str, width: int) -> Value:
        return self.value(shape, width, self.external(shape, role, name))

    def view(self, value: Value, offset: int, width: int) -> Value:
        return self.value("view", width, [value, offset])

    def matrix(self, source: int, head: int) -> int:
        return self.external("matrix", "in", f"matrix:{source}:{head}")


@dataclass
class Product:
    """A sum of matrix products, and what it starts from."""

    segments: list[int]
    init: int | None = None


class Emitter:
    """Turns the nodes of one part of a block into phases.

    A phase is a set of products and then elementwise code of one width; whatever needs a whole row of a value (products,
    row operations) waits for the phase that makes it. `read` gives the operand of a value that is there already; `stores`
    where a node's value must go; `scratch` is the kind of space for values that only later phases of this part read.
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

    def phases(self) -> list[list]:
        self._join_products()
        self._fuse_multiplications()
        stage = self._stages()
        out: list[list] = []
        live = [n for n in self.nodes if n not in self.absorbed]
        self._assign_homes(live, stage)
        for s in range(max(stage.values(), default=-1) + 1):
            here = [n for n in live if stage[n] == s]
            for n in here:
                if self._is_whole_row(n):
                    out += self._row_phases(n)
            widths = sorted({self.dag[n].width for n in here if not self._is_whole_row(n)})
            out += [self._tile_phase([n for n in here if not self._is_whole_row(n)], w) for w in widths]
        return out + self._copy_phases()

    # ---- what is computed together

    def _single(self, n: int) -> bool:
        return self.uses[n] == 1 and n not in self.stores

    def _join_products(self) -> None:
        """Products into the same sum become one, which starts from a value that is there already."""
        for n in self.nodes:
            node = self.dag[n]
            if node.op == "matmul" and node["heads"] == 1:
                self.products[n] = Product([n])
            elif node.op == "add" and node.args[0] != node.args[1]:
                self._join_sum(n, *node.args)

    def _join_sum(self, n: int, a: int, b: int) -> None:
        for product, other in ((a, b), (b, a)):
            mine = self.products.get(product)
            if mine is None or not self._single(product):
                continue
            theirs = self.products.get(other)
            if theirs is not None and self._single(other) and None in (mine.init, theirs.init):
                init = theirs.init if mine.init is None else mine.init
                self.products[n] = Product(mine.segments + theirs.segments, init)
                self.absorbed |= {product, other}
                return
            outside = other not in self.inside and self.dag[other].op != "number" and self.dag[other].width == self.dag[n].width
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

    def _is_whole_row(self, n: int) -> bool:
        node = self.dag[n]
        return node.op in ROW_OPS or (node.op == "matmul" and node["heads"] > 1)

    def _needs_rows(self, n: int) -> bool:
        return n in self.products or self._is_whole_row(n)

    def _stages(self) -> dict[int, int]:
        """How many whole-row operations stand before each node."""
        stage: dict[int, int] = {}
        for n in self.nodes:
            if n not in self.absorbed:
                inner = [stage[a] for a in self._operands(n) if a in stage]
                stage[n] = max(inner, default=-1 if self._needs_rows(n) else 0) + self._needs_rows(n)
        return stage

    def _assign_homes(self, live: list[int], stage: dict[int, int]) -> None:
        """The operand from which each node's value is read inside this part."""
        outlives: set[int] = set()
        read_at_all: set[int] = set()
        for n in live:
            for a in self._operands(n):
                if a in stage:
                    read_at_all.add(a)
                    same_phase = stage[a] == stage[n] and self.dag[a].width == self.dag[n].width
                    if self._needs_rows(n) or self._is_whole_row(a) or not same_phase:
                        outlives.add(a)
        for n in live:
            width = self.dag[n].width
            places = self.stores.setdefault(n, [])
            readable = [v for v in places if self.program.values[v][0] != "carry_out"]
            if readable:
                self.home[n] = readable[0]
            elif places and n not in read_at_all and len(places) == 1:
                self.home[n] = places[0]
            elif n in outlives or self._is_whole_row(n):
                self.home[n] = self.program.value(self.scratch, width, fresh=True)
            else:
                self.home[n] = self.program.value("temp", width, fresh=True)

    def operand(self, n: int) -> Value:
        return self.home[n] if n in self.home else self.read(n)

    def _copies_of(self, n: int) -> list[Instruction]:
        home = self.home[n]
        return [["copy", v, home, -1, -1] for v in self.stores[n] if v != home]

    # ---- phases

    def _row_phases(self, n: int) -> list[list]:
        node, home = self.dag[n], self.home[n]
        if node.op == "matmul":
            phases = self._blocked_product(n)
        else:
            number = node.get("n", node.get("start", 0))
            sources = [self.operand(a) for a in node.args]
            phases = [["row", node.op, home, sources, number, node.get("eps", 0.0)]]
        if copies := self._copies_of(n):
            phases.append(["tile", node.width, [], copies])
        return phases

    def _blocked_product(self, n: int) -> list[list]:
        """A block-diagonal product: one product a head, each on its columns."""
        node, program = self.dag[n], self.program
        heads: int = node["heads"]  # type: ignore[assignment]
        rows, columns = node.width // heads, self.dag[node.args[0]].width // heads
        phases = []
        for head in range(heads):
            source = program.view(self.operand(node.args[0]), head * columns, columns)
            segment = [program.matrix(node["matrix"], head), int(node["transposed"]), source]  # type: ignore[arg-type, call-overload]
            phases.append(["tile", rows, [[program.view(self.home[n], head * rows, rows), -1, [segment]]], []])
        return phases

    def _tile_phase(self, nodes: Iterable[int], width: int) -> list:
        products, code = [], []
        for n in nodes:
            if self.dag[n].width != width:
                continue
            if n in self.products:
                products.append(self._product(n))
            else:
                code.append(self._instruction(n))
            code += self._copies_of(n)
        return ["tile", width, products, self._reuse_temps(products, code)]

    def _product(self, n: int) -> list:
        product = self.products[n]
        segments = []
        for s in product.segments:
            node = self.dag[s]
            matrix = self.program.matrix(node["matrix"], 0)  # type: ignore[arg-type]
            segments.append([matrix, int(node["transposed"]), self.operand(node.args[0])])  # type: ignore[call-overload]
        return [self.home[n], -1 if product.init is None else self.operand(product.init), segments]

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

    def _copy_phases(self) -> list[list]:
        """Values that are there already and must go somewhere as they are."""
        by_width: dict[int, list[Instruction]] = defaultdict(list)
        for n, places in self.copies.items():
            for place in places:
                by_width[self.program.values[place][1]].append(["copy", place, self.read(n), -1, -1])
        return [["tile", width, [], code] for width, code in sorted(by_width.items())]


Stores = dict[int, list[Value]]


def _leaf_reader(program: Program, dag: Dag, others: dict[int, Value]) -> Callable[[int], Value]:
    """Operands of inputs, numbers and previous states; `others` are values computed or kept elsewhere."""

    def read(n: int) -> Value:
        if n in others:
            return others[n]
        node = dag[n]
        if node.op == "number":
            return program.value("number", 1, node["value"])
        if node.op == "state":
            return program.value("previous", node.width, node["k"])
        if node.op == "carry":
            return program.value("carry", node.width, node["k"])
        if node.op == "grad_out":
            return program.tensor("step", "in", f"grad_out:{node['i']}", node.width)
        return program.tensor(node.op, "in", f"{node.op}:{node['source']}", node.width)

    return read


def _merge(*tables: Stores) -> Stores:
    merged: Stores = defaultdict(list)
    for table in tables:
        for n, places in table.items():
            merged[n] += [p for p in places if p not in merged[n]]
    return dict(merged)


def forward_program(step: StepDag, kept: Kept) -> Program:
    """The forward program of a step that keeps `kept` for backward (nothing, for inference)."""
    program, dag = Program(), step.dag
    where = place_forward(step, kept)
    outs: dict[int, int] = {}
    for i, n in enumerate(step.outs):
        outs.setdefault(n, program.external("step", "out", f"out:{i}"))
    targets: Stores = defaultdict(list)
    for i, n in enumerate(step.outs):
        if n not in step.news or outs[n] != program.external("step", "out", f"out:{i}"):
            targets[n].append(program.tensor("step", "out", f"out:{i}", dag[n].width))
    for j, n in enumerate(kept.values):
        targets[n].append(program.tensor("step", "keep", f"keep:{j}", dag[n].width))
    for k, n in enumerate(step.news):
        program.states.append(_forward_state(program, k, n, dag[n].width, outs, kept))
    news: Stores = defaultdict(list)
    for k, n in enumerate(step.news):
        news[n].append(program.value("new", dag[n].width, k))
    crossing = {n: [program.value("block", dag[n].width, fresh=True)] for n in sorted(where.crossing)}
    in_loop = {n for n in where.loop} | set(step.news)
    read_news = {n: places[0] for n, places in news.items() if dag[n].op not in ("state", "step")}
    loop_cross = {n: p for n, p in crossing.items() if n not in where.before}
    late = {n: p for n, p in targets.items() if n not in where.before and n not in in_loop}
    handed = {n: p[0] for n, p in crossing.items()}
    early = _leaf_reader(program, dag, {})
    early_stores = _merge({n: p for n, p in crossing.items() if n in where.before}, {n: p for n, p in targets.items() if n in where.before})
    program.before = Emitter(program, dag, where.before, early_stores, early, "block").phases()
    loop_read = _leaf_reader(program, dag, {n: v for n, v in handed.items() if n in where.before})
    loop_stores = _merge(news, {n: p for n, p in targets.items() if n in in_loop and n not in where.before}, loop_cross)
    program.loop = Emitter(program, dag, where.loop, loop_stores, loop_read, "line").phases()
    kept_places = {n: p[0] for n, p in targets.items() if n not in late} | {n: read_news[n] for n in read_news if n in outs}
    after_read = _leaf_reader(program, dag, kept_places | handed)
    program.after = Emitter(program, dag, where.after, late, after_read, "block").phases()
    return program


def _forward_state(program: Program, k: int, new: int, width: int, outs: dict[int, int], kept: Kept) -> list[int]:
    """The state's entry: width, start, restart value, final value, and where every step's value is kept (-1: nowhere)."""
    if new in outs:
        place = outs[new]
    elif k in kept.states:
        place = program.external("step", "keep", f"state:{k}")
    else:
        place = -1
    initial, final = program.external("batch", "in", f"initial:{k}"), program.external("batch", "out", f"final:{k}")
    return [width, program.external("batch", "in", f"hx:{k}"), initial, final, place]


def backward_program(step: StepDag, kept: Kept) -> Program:
    """The backward program that reads what the forward program of the same step and `kept` kept."""
    program, dag = Program(), step.dag
    where = place_backward(step, kept)
    there = _kept_operands(program, step, kept)
    carries: Stores = defaultdict(list)
    for k, n in enumerate(step.carry_outs):
        if n is not None:
            carries[n].append(program.value("carry_out", dag[n].width, k))
    grads: Stores = defaultdict(list)
    for leaf, n in step.step_grads.items():
        grads[n].append(program.tensor("step", "out", f"d_step:{dag[leaf]['source']}", dag[n].width))
    crossing = {n: [program.value("block", dag[n].width, fresh=True)] for n in sorted(where.crossing)}
    handed = {n: p[0] for n, p in crossing.items()}
    summed = {n for n in _summed(step) if n in where.before | where.loop | where.after and n not in handed}
    for n in sorted(summed):
        handed[n] = program.value("block", dag[n].width, fresh=True)
    block = {n: [v] for n, v in handed.items()}

    def part(nodes: set[int], stores: Stores, ready: set[int], scratch: str) -> list[list]:
        read = _leaf_reader(program, dag, there | {n: v for n, v in handed.items() if n in ready})
        return Emitter(program, dag, nodes, stores, read, scratch).phases()

    def pick(table: Stores, nodes: set[int]) -> Stores:
        return {n: p for n, p in table.items() if n in nodes}

    carry_leaves = {n for n in handed if dag[n].op == "carry"}
    in_before, in_loop = where.before, (where.loop - where.before) | carry_leaves
    in_after = set(grads) | where.after
    in_after -= in_before | in_loop
    program.before = part(in_before, pick(_merge(block, grads), in_before), set(), "block")
    loop_stores = _merge(pick(_merge(block, grads), in_loop), carries)
    program.loop = part(where.loop, loop_stores, in_before, "line")
    program.after = part(where.after, pick(_merge(block, grads), in_after), in_before | in_loop, "block")
    program.states = [_backward_state(program, step, kept, k) for k in range(len(step.states))]
    _reduce(program, step, _leaf_reader(program, dag, there | handed))
    return program


def _summed(step: StepDag) -> list[int]:
    rows = [n for _, *factors in step.row_grads for n in factors]
    return rows + [n for _, _, *factors in step.matrix_grads for n in factors]


def _kept_operands(program: Program, step: StepDag, kept: Kept) -> dict[int, Value]:
    """How backward reads what forward kept."""
    dag = step.dag
    there: dict[int, Value] = {}
    for j, n in enumerate(kept.values):
        there[n] = program.tensor("step", "in", f"keep:{j}", dag[n].width)
    for i, n in enumerate(step.outs):
        if dag[n].op not in ("step", "number", "vector", "batch", "state"):
            there.setdefault(n, program.tensor("step", "in", f"out:{i}", dag[n].width))
    for k in sorted(kept.states):
        new = step.news[k]
        if dag[new].op not in ("step", "number", "vector", "batch", "state"):
            there[new] = program.value("new", dag[new].width, k)
    return there


def _backward_state(program: Program, step: StepDag, kept: Kept, k: int) -> list[int]:
    new = step.news[k]
    place = -1
    if k in kept.states:
        out = next((i for i, n in enumerate(step.outs) if n == new), None)
        place = program.external("step", "in", f"state:{k}" if out is None else f"out:{out}")
    return [
        step.dag[new].width,
        program.external("batch", "in", f"hx:{k}"),
        program.external("batch", "in", f"initial:{k}"),
        place,
        program.external("batch", "in", f"d_final:{k}"),
        program.external("batch", "out", f"d_hx:{k}"),
        program.external("batch", "sum", f"d_initial:{k}"),
        int(step.carry_outs[k] is not None),
    ]


def _reduce(program: Program, step: StepDag, read: Callable[[int], Value]) -> None:
    dag = step.dag
    for leaf, *factors in step.row_grads:
        kind = dag[leaf].op
        external = program.external(kind, "sum", f"d_{kind}:{dag[leaf]['source']}")
        if kind == "vector":
            a, b = (*map(read, factors), -1)[:2]
            program.reduce.append(["vector", external, a, b])
        else:
            program.reduce.append(["batch", external, read(factors[0])])
    for matrix, heads, d, source in step.matrix_grads:
        for head in range(heads):
            external = program.external("matrix", "sum", f"d_matrix:{matrix}:{head}")
            rows, columns = dag[d].width // heads, dag[source].width // heads
            a, b = read(d), read(source)
            if heads > 1:
                a, b = program.view(a, head * rows, rows), program.view(b, head * columns, columns)
            program.reduce.append(["matrix", external, a, b])


def as_data(program: Program) -> dict:
    """The program as plain data for JSON."""
    return dict(vars(program))


def is_elementwise(op: str) -> bool:
    """Whether an operation acts on each column alone."""
    return op in ELEMENTWISE
