"""Puts the forward and the backward program of a step together from what was decided about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Set

from carousel.graph.passes.dag import Dag
from carousel.graph.passes.derivative import StepDag
from carousel.graph.passes.emitting import Emitter, Stores
from carousel.graph.passes.plan import Kept, Placement, place_backward, place_forward
from carousel.graph.passes.program import Program, Value

Read = Callable[[int], Value]
COMPUTED_OUTSIDE = ("number", "vector", "batch", "step", "state")


def forward_program(step: StepDag, kept: Kept) -> Program:
    """The forward program of a step that keeps `kept` for backward (nothing, for inference)."""
    program, dag = Program(), step.dag
    where = place_forward(step, kept)
    outs = [program.external("step", "out", f"out:{i}") for i in range(len(step.outs))]
    program.states = [_forward_state(program, step, kept, k, outs) for k in range(len(step.states))]
    everywhere: Stores = defaultdict(list)  # values of every step, which any part may read
    news: Stores = defaultdict(list)
    for k, n in enumerate(step.news):
        value = program.value("new", dag[n].width, k)
        (news if program.states[k][-1] < 0 else everywhere)[n].append(value)
    for i, n in enumerate(step.outs):
        if outs[i] not in [state[-1] for state in program.states]:
            everywhere[n].append(program.tensor("step", "out", f"out:{i}", dag[n].width))
    for j, n in enumerate(kept.values):
        everywhere[n].append(program.tensor("step", "keep", f"keep:{j}", dag[n].width))
    _assemble(program, dag, where, everywhere, news, {}, set(step.news))
    return program


def _forward_state(program: Program, step: StepDag, kept: Kept, k: int, outs: list[int]) -> list[int]:
    """The state's entry: width, start, restart value, final value, and where every step is kept (-1: nowhere)."""
    new = step.news[k]
    place = -1
    if new in step.outs:
        place = outs[step.outs.index(new)]
    elif k in kept.states:
        place = program.external("step", "keep", f"state:{k}")
    start, initial = program.external("batch", "in", f"hx:{k}"), program.external("batch", "in", f"initial:{k}")
    return [step.dag[new].width, start, initial, program.external("batch", "out", f"final:{k}"), place]


def backward_program(step: StepDag, kept: Kept, wanted: Set[tuple[str, int]]) -> Program:
    """The backward program that reads what the forward program of the same step and `kept` kept.

    `wanted` has ("hx", k) and ("initial", k) where the gradients of what state k starts from are asked for.
    """
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
    where.crossing |= {n for n in _summed(step) if n in where.before | where.loop | where.after}
    handed = _assemble(program, dag, where, grads, carries, there)
    program.states = [_backward_state(program, step, kept, k, wanted) for k in range(len(step.states))]
    _reduce(program, step, _reader(program, dag, there | handed))
    return program


def _assemble(
    program: Program,
    dag: Dag,
    where: Placement,
    everywhere: Stores,
    in_loop_only: Stores,
    there: dict[int, Value],
    loop_results: Set[int] = frozenset(),
) -> dict[int, Value]:
    """Emit the three parts. Returns the operands of the values that one part hands to another.

    `everywhere`: destinations that hold every step; `in_loop_only`: destinations of the loop that hold one step;
    `there`: values kept by another program; `loop_results`: values that the loop delivers even if it does not compute
    them.
    """
    handed: dict[int, Value] = {}
    for n in sorted(where.crossing):
        places = everywhere.get(n)
        handed[n] = places[0] if places else program.value("block", dag[n].width, fresh=True)
    stores = _merge(everywhere, {n: [v] for n, v in handed.items()})
    before = where.before
    handed_on = {n for n in where.crossing if dag[n].op in ("state", "carry")}  # readable in the loop only
    loop = (where.loop | handed_on | loop_results) - before
    after = set(stores) - before - loop

    def part(nodes: set[int], owned: set[int], extra: Stores, ready: set[int], scratch: str) -> list[list]:
        mine = _merge({n: p for n, p in stores.items() if n in owned}, extra)
        read = _reader(program, dag, there | {n: v for n, v in handed.items() if n in ready})
        return Emitter(program, dag, nodes, mine, read, scratch).phases()

    program.before = part(before, before, {}, set(), "block")
    program.loop = part(where.loop, loop, in_loop_only, before, "line")
    program.after = part(where.after, after, {}, before | loop, "block")
    return handed


def _merge(*tables: Stores) -> Stores:
    merged: Stores = defaultdict(list)
    for table in tables:
        for n, places in table.items():
            merged[n] += [p for p in places if p not in merged[n]]
    return dict(merged)


def _reader(program: Program, dag: Dag, others: dict[int, Value]) -> Read:
    """Operands of inputs, numbers and previous states; `others` are values computed or kept elsewhere."""

    def read(n: int) -> Value:
        node = dag[n]
        if n in others:
            return others[n]
        if node.op == "number":
            return program.value("number", 1, node["value"])
        if node.op == "slice":
            return program.view(read(node.args[0]), node["start"], node.width)
        if node.op == "state":
            return program.value("previous", node.width, node["k"])
        if node.op == "carry":
            return program.value("carry", node.width, node["k"])
        if node.op == "grad_out":
            return program.tensor("step", "in", f"grad_out:{node['i']}", node.width)
        return program.tensor(node.op, "in", f"{node.op}:{node['source']}", node.width)

    return read


def _summed(step: StepDag) -> list[int]:
    """What is read by sums over all rows; of slices, what they are columns of."""

    def whole(n: int) -> int:
        return whole(step.dag[n].args[0]) if step.dag[n].op == "slice" else n

    rows = [n for _, *factors in step.row_grads for n in factors]
    return [whole(n) for n in rows + [n for _, _, *factors in step.matrix_grads for n in factors]]


def _kept_operands(program: Program, step: StepDag, kept: Kept) -> dict[int, Value]:
    """How backward reads what forward kept."""
    dag = step.dag
    there: dict[int, Value] = {}
    for j, n in enumerate(kept.values):
        there[n] = program.tensor("step", "in", f"keep:{j}", dag[n].width)
    for i, n in enumerate(step.outs):
        if dag[n].op not in COMPUTED_OUTSIDE:
            there.setdefault(n, program.tensor("step", "in", f"out:{i}", dag[n].width))
    for k in sorted(kept.states):
        new = step.news[k]
        if dag[new].op not in COMPUTED_OUTSIDE:
            there[new] = program.value("new", dag[new].width, k)
    return there


def _backward_state(program: Program, step: StepDag, kept: Kept, k: int, wanted: Set[tuple[str, int]]) -> list[int]:
    """The state's entry: width, start, restart value, kept values, gradients of the final state, of the start and of
    the restart value, and whether the equations read the state at all."""
    new = step.news[k]
    place = -1
    if k in kept.states:
        name = f"out:{step.outs.index(new)}" if new in step.outs else f"state:{k}"
        place = program.external("step", "in", name)
    return [
        step.dag[new].width,
        program.external("batch", "in", f"hx:{k}"),
        program.external("batch", "in", f"initial:{k}"),
        place,
        program.external("batch", "in", f"d_final:{k}"),
        program.external("batch", "out", f"d_hx:{k}") if ("hx", k) in wanted else -1,
        program.external("batch", "sum", f"d_initial:{k}") if ("initial", k) in wanted else -1,
        int(step.carry_outs[k] is not None),
    ]


def _reduce(program: Program, step: StepDag, read: Read) -> None:
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
