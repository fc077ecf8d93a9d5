"""From a traced cell to a step graph at concrete widths, and the clean-up of a graph once it is differentiated.

What depends on parameters alone, or on inputs given once a sequence, is computed outside the step: here it is a leaf
(`vector`, `batch`, or the matrix of a product), named by the index of its node in the trace.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from carousel.graph.cell import Cell
from carousel.graph.levels import CONSTANT, SEQUENCE, STEP, levels
from carousel.graph.passes.dag import ELEMENTWISE, Dag
from carousel.graph.passes.derivative import StepDag, spread

FOR_GRADIENTS = ("stop", "clip_gradient")  # the identity but for the gradient


def lower(
    cell: Cell, sizes: Mapping[str, int], record: Iterable[int], learned: Iterable[int]
) -> tuple[StepDag, dict[int, int]]:
    """The cell's step at concrete sizes, and the map from trace nodes to graph nodes.

    `record` names trace nodes to return at every step beside the output; `learned` the matrices (trace nodes) whose
    gradients are wanted.
    """
    step, dag, made = cell.step, Dag(), {}
    level, learned = levels(step, cell.sides), set(learned)
    numeric: set[int] = set()  # arithmetic on numbers alone, which is folded here
    for i, node in enumerate(step.nodes):
        if node.op == "number" or (node.args and numeric.issuperset(node.args)):
            numeric.add(i)

    def value(i: int) -> int:
        if i not in made:
            made[i] = _lower_node(i)
        return made[i]

    def _lower_node(i: int) -> int:
        node = step.nodes[i]
        width = node.width.resolve(sizes) if not isinstance(node.width, tuple) else 0
        if node.op == "number":
            return dag.number(node.attr["value"])
        if level[i] in (CONSTANT, SEQUENCE) and i not in numeric:
            return dag.add("vector" if level[i] == CONSTANT else "batch", width=width, source=i)
        if node.op in ("input", "side", "time"):
            return dag.add("step", width=width, source=i)
        if node.op == "state":
            return dag.add("state", width=width, k=node.attr["k"])
        if node.op == "matmul":
            matrix, operand = node.args
            heads = node.attr.get("heads", 1)
            attr = {"matrix": matrix, "heads": heads, "transposed": False, "learned": matrix in learned}
            return dag.add("matmul", (value(operand),), width, **attr)
        args = [value(a) for a in node.args]
        if node.op == "clip":
            return dag.ew("clip", args[0], dag.number(node.attr["low"]), dag.number(node.attr["high"]))
        if node.op in ELEMENTWISE:
            return dag.ew(node.op, *args)
        if node.op in FOR_GRADIENTS:
            # Never merged: what two clips let through is more than what one lets through of the sum.
            return dag.add(node.op, args, width, **node.attr, source=i)
        return dag.row(node.op, args, width, **_row_attributes(node, width, dag, args, sizes))

    for i, node in enumerate(step.nodes):
        if level[i] >= STEP or node.op == "state":
            value(i)
    states = [value(i) for i, node in enumerate(step.nodes) if node.op == "state"]
    states.sort(key=lambda s: dag[s]["k"])
    news = [spread(dag, value(i), dag[s].width) for i, s in zip(step.outputs, states, strict=True)]
    outs = [spread(dag, value(i), step.nodes[i].width.resolve(sizes)) for i in (step.output, *record)]
    names = {made[i]: node.names[0] for i, node in enumerate(step.nodes) if i in made and node.names}
    return StepDag(dag, states, news, outs, names=names), made


def _row_attributes(node, width: int, dag: Dag, args: list[int], sizes: Mapping[str, int]) -> dict[str, object]:
    if node.op == "normalize":
        return {"eps": float(node.attr["eps"])}
    if node.op == "expand":
        return {"n": width // dag[args[0]].width}
    if node.op == "slice":
        start = node.attr["start"]
        return {"start": start if isinstance(start, int) else start.resolve(sizes)}
    return {}


def clean(step: StepDag) -> StepDag:
    """The graph without what nobody needs: nodes for gradients alone are done, sums are regrouped by level.

    Sums are flattened and put together again from what changes least often, so that `W @ x + U @ h + b` leaves only
    the product with h in the loop, and products into one sum stand side by side.
    """
    old, new = step.dag, Dag()
    roots = _roots(step)
    live = old.ancestors([*roots, *step.states])
    uses = Counter(a for n in live for a in old[n].args) + Counter({r: 2 for r in roots})
    moved: dict[int, int] = {}

    def terms(n: int, sign: int, inner: bool = True) -> list[tuple[int, int]]:
        node = old[n]
        if node.op == "neg" and inner and uses[n] == 1:
            return terms(node.args[0], -sign)
        if node.op in ("add", "sub") and (not inner or uses[n] == 1):
            return terms(node.args[0], sign) + terms(node.args[1], sign if node.op == "add" else -sign)
        return [(n, sign)]

    def rank(term: tuple[int, int]) -> tuple:
        node = new[moved[term[0]]]
        level = max(node.level, STEP) if node.width > 1 else node.level
        return level, node.op != "matmul", node.op == "mul", term[1] < 0

    for n in sorted(live):
        node = old[n]
        args = [moved[a] for a in node.args]
        if node.op in ("add", "sub") and len(parts := terms(n, 1, inner=False)) > 2:
            moved[n] = _sum(new, [(moved[t], sign) for t, sign in sorted(parts, key=rank)], node.width)
        elif node.op in FOR_GRADIENTS:
            moved[n] = args[0]
        elif node.op in ELEMENTWISE and node.op != "copy":
            moved[n] = new.ew(node.op, *args)
        else:
            moved[n] = new.add(node.op, args, node.width, **dict(node.attr))
    return _moved(step, new, moved)


def _sum(g: Dag, terms: list[tuple[int, int]], width: int) -> int:
    (total, sign), *rest = terms
    if sign < 0:
        total = g.ew("neg", total)
    for n, sign in rest:
        total = g.ew("add" if sign > 0 else "sub", total, n)
    return total if g[total].width == width else g.add("copy", (total,), width)


def _roots(step: StepDag) -> list[int]:
    return [
        *step.news,
        *step.outs,
        *(c for c in step.carry_outs if c is not None),
        *step.step_grads.values(),
        *(n for _, *factors in step.row_grads for n in factors),
        *(n for _, _, d, source in step.matrix_grads for n in (d, source)),
    ]


def _moved(step: StepDag, dag: Dag, moved: Mapping[int, int]) -> StepDag:
    return StepDag(
        dag,
        [moved[n] for n in step.states],
        [moved[n] for n in step.news],
        [moved[n] for n in step.outs],
        [None if n is None else moved[n] for n in step.carry_outs],
        {moved[n]: moved[d] for n, d in step.step_grads.items() if n in moved},
        [(moved[leaf], *_factors(dag, moved[leaf], moved[d])) for leaf, d in step.row_grads],
        [(m, heads, moved[d], moved[s]) for m, heads, d, s in step.matrix_grads],
        {moved[n]: name for n, name in sorted(step.names.items(), reverse=True) if n in moved},
    )


def _factors(dag: Dag, leaf: int, n: int) -> tuple[int, ...]:
    """A parameter's gradient as factors, which need not be multiplied out before they are summed."""
    node = dag[n]
    whole = dag[leaf].op == "vector" and node.op == "mul" and all(dag[a].width == node.width for a in node.args)
    used_elsewhere = any(n in other.args for other in dag.nodes)
    return node.args if whole and not used_elsewhere else (n,)


def leaf_sources(dag: Dag) -> dict[str, list[int]]:
    """The trace nodes that the graph reads, by kind of leaf; matrices as (trace node) under "matrix"."""
    found: dict[str, list[int]] = defaultdict(list)
    for node in dag.nodes:
        kind = "matrix" if node.op == "matmul" else node.op
        if kind in ("matrix", "vector", "batch", "step"):
            source = node["matrix"] if kind == "matrix" else node["source"]
            if source not in found[kind]:
                found[kind].append(source)
    return dict(found)
