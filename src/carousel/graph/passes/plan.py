"""Decisions about a differentiated step: what forward keeps for backward, and where each value is computed.

A sequence runs in blocks of steps. Per block, a value is computed *before* the loop (all steps of the block at once),
in the *loop* (step after step), or *after* it (all steps at once again). Only what waits for the step before is in
the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

from carousel.graph.levels import LOOP, STEP
from carousel.graph.passes.cut import minimum_cut
from carousel.graph.passes.dag import CHEAP_ROW_OPS, ELEMENTWISE, Dag
from carousel.graph.passes.derivative import StepDag

RECOMPUTABLE = ELEMENTWISE | CHEAP_ROW_OPS
FOLLOWERS = ELEMENTWISE | {"rstd"}  # rstd comes with the normalisation of the same row
# What computing an element again costs in backward, in the price of one that forward writes and backward reads. Above 1
# the gates of the LSTM would be kept twice, before and after their functions.
AGAIN = dict.fromkeys("sigmoid tanh exp log softplus".split(), 0.8) | dict.fromkeys("sin cos".split(), 3.0)
AGAIN_ELSE = 0.1
NARROW = 32  # columns of an input up to which its products had better be computed in the loop


@dataclass(frozen=True)
class Kept:
    """What forward keeps at every step for backward: whole states (before and after each step), and other values."""

    states: frozenset[int] = frozenset()
    values: tuple[int, ...] = ()


@dataclass
class Placement:
    """Where each node is computed; `crossing` are those that another part of the block reads."""

    before: set[int] = field(default_factory=set)
    loop: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)
    crossing: set[int] = field(default_factory=set)


def backward_nodes(dag: Dag) -> set[int]:
    """The nodes that carry gradients."""
    return dag.dependents(n for n, node in enumerate(dag.nodes) if node.op in ("grad_out", "carry"))


def backward_roots(step: StepDag) -> list[int]:
    """Everything that the backward step must produce, operands of weight gradients included."""
    return [
        *(c for c in step.carry_outs if c is not None),
        *step.step_grads.values(),
        *(n for _, *factors in step.row_grads for n in factors),
        *(n for _, _, *factors in step.matrix_grads for n in factors),
    ]


def choose_kept(step: StepDag) -> Kept:
    """The cheapest set of values from which backward can recompute whatever it needs: a minimum cut weighted by width
    and by what there is to compute again.

    Elementwise values can be recomputed, matrix products and row statistics can not. What is returned at every step is
    there already. For the LSTM this gives the four gates and c.
    """
    dag = step.dag
    gradients = backward_nodes(dag)
    roots = backward_roots(step)
    needed = {*roots, *(a for n in dag.ancestors(roots) & gradients for a in dag[n].args)}
    needed = {n for n in needed - gradients if dag[n].level >= STEP}
    forward = dag.ancestors([*step.news, *step.outs])
    free = {n for n, new in enumerate(step.news) if new in step.outs}
    best: tuple[float, Kept] | None = None
    others = [k for k in range(len(step.states)) if k not in free]
    for chosen in (set(c) for r in range(len(others) + 1) for c in combinations(others, r)):
        found = _cut_with_states(step, needed, free | chosen, forward)
        if found is None:
            continue
        kept, again = found
        price = sum(dag[step.news[k]].width for k in chosen) + 1.001 * sum(dag[n].width for n in kept) + again
        if best is None or price < best[0]:
            best = price, Kept(frozenset(free | chosen), tuple(sorted(kept)))
    assert best is not None  # keeping every state always works
    return best[1]


def _cut_with_states(
    step: StepDag, needed: set[int], states: set[int], forward: set[int]
) -> tuple[set[int], float] | None:
    """The values to keep if these states are kept anyway, and what it costs to compute the others again; None if some
    other state would be needed."""
    dag = step.dag
    there = {n for k in states for n in (step.states[k], step.news[k])} | set(step.outs)

    def available(n: int) -> bool:
        return n in there or dag[n].level < STEP or dag[n].op == "step"

    nodes = {n for n in dag.ancestors(needed, available) if not available(n)}
    if any(n in needed and dag[n].op == "state" for n in nodes):
        return None
    cost = {n: dag[n].width + (1e-3 if n in forward else 2e-3) for n in nodes if dag[n].op != "state"}
    cost |= {n: 1e9 for n in nodes if dag[n].op == "state"}
    edges = [(a, n) for n in nodes for a in dag[n].args if a in nodes]
    sources = [n for n in nodes if dag[n].op not in RECOMPUTABLE]
    again = {n: dag[n].width * AGAIN.get(dag[n].op, AGAIN_ELSE) for n in nodes if dag[n].op in RECOMPUTABLE}
    cut = minimum_cut(cost, edges, sources, nodes & needed, again)
    if any(dag[n].op == "state" for n in cut):
        return None
    recomputed = dag.ancestors(nodes & needed, lambda n: n in cut or available(n)) - cut
    return cut, sum(again.get(n, 0) for n in recomputed)


def place(
    dag: Dag,
    looped: set[int],
    early: Callable[[int], bool],
    available: Callable[[int], bool],
    loop_roots: Iterable[int],
    roots: Iterable[int],
    after_only: Callable[[int], bool] = lambda n: False,
) -> Placement:
    """Decide where each node is computed.

    `looped`: nodes that depend on the step before and feed the next; what is computed from them elementwise joins them,
    as in the loop they are at hand. `early`: nodes that do not wait for the loop.
    `available`: leaves and kept values, which are read and not computed. `after_only`: leaves that are readable in
    the loop only, so that the loop has to hand them on.
    """
    where = Placement()
    looped = _with_followers(dag, looped, early, available, roots)
    slots = _slots(dag, looped, early, available, loop_roots)

    def before(n: int) -> None:
        if not available(n) and n not in where.before:
            where.before.add(n)
            for a in dag[n].args:
                before(a)

    def loop(n: int) -> None:
        if available(n) or n in where.loop:
            return
        if n not in looped and early(n) and (n in slots or not _cheap_in_loop(dag, n)):
            where.crossing.add(n)
            before(n)
            return
        where.loop.add(n)
        for a in dag[n].args:
            loop(a)

    def after(n: int) -> None:
        if after_only(n):
            where.crossing.add(n)
        elif available(n) or n in where.after:
            return
        elif n in looped:
            where.crossing.add(n)
            loop(n)
        elif n in where.before:
            where.crossing.add(n)
        elif early(n) and dag[n].op not in RECOMPUTABLE:
            where.crossing.add(n)
            before(n)
        else:
            where.after.add(n)
            for a in dag[n].args:
                after(a)

    for n in loop_roots:
        loop(n)
    for n in roots:
        if n in looped:
            loop(n)
        elif early(n) and dag[n].op not in RECOMPUTABLE:
            before(n)
        else:
            after(n)
    return where


def _with_followers(
    dag: Dag,
    looped: set[int],
    early: Callable[[int], bool],
    available: Callable[[int], bool],
    roots: Iterable[int],
) -> set[int]:
    looped = set(looped)
    for n in sorted(dag.ancestors(roots, available)):
        at_hand = all(a in looped or available(a) or early(a) for a in dag[n].args)
        if at_hand and not (available(n) or early(n)) and dag[n].op in FOLLOWERS:
            looped.add(n)
    return looped


def _cheap_in_loop(dag: Dag, n: int) -> bool:
    """Whether a value may as well be computed step after step: the product of a narrow input costs less as one more
    term of the loop's product than its result costs to store and load."""
    node = dag[n]
    if node.op == "slice":  # a name for columns
        return True
    if node.op == "matmul" and node["heads"] == 1:
        (source,) = node.args
        return dag[source].op == "step" and dag[source].width <= NARROW
    return node.op in ELEMENTWISE


def _slots(
    dag: Dag,
    looped: set[int],
    early: Callable[[int], bool],
    available: Callable[[int], bool],
    loop_roots: Iterable[int],
) -> set[int]:
    """Which per-step values to compute before the loop: a minimum cut over widths between the inputs and the loop."""
    reached = dag.ancestors(loop_roots, available)
    readers = {n for n in reached if n in looped or not early(n)}
    nodes = {
        n for n in reached if n not in readers and dag[n].level == STEP and (not available(n) or dag[n].op == "step")
    }
    read = {a for n in readers for a in dag[n].args if a in nodes} | (nodes & set(loop_roots))
    if not read:
        return set()
    edges = [(a, n) for n in nodes for a in dag[n].args if a in nodes]
    sources = [n for n in nodes if not _cheap_in_loop(dag, n)]
    return minimum_cut({n: float(dag[n].width) for n in nodes}, edges, sources, read)


def place_forward(step: StepDag, kept: Kept) -> Placement:
    """Forward: the loop holds what new states need and what needs a state before it."""
    dag = step.dag
    targets = [*step.outs, *kept.values]
    looped = {n for n in dag.ancestors(step.news) if dag[n].level == LOOP and dag[n].op != "state"}
    stored = {k for k, new in enumerate(step.news) if new in step.outs} | kept.states
    leaves = {"number", "vector", "batch", "step", "state"}
    ring_only = {step.states[k] for k in range(len(step.states)) if k not in stored}
    return place(
        dag,
        looped,
        lambda n: dag[n].level <= STEP,
        lambda n: dag[n].op in leaves,
        step.news,
        targets,
        lambda n: n in ring_only,
    )


def place_backward(step: StepDag, kept: Kept) -> Placement:
    """Backward: the loop holds what the carried gradients need and what they feed."""
    dag = step.dag
    carried = dag.dependents(n for n, node in enumerate(dag.nodes) if node.op == "carry")
    feeding = [c for c in step.carry_outs if c is not None]
    looped = {n for n in dag.ancestors(feeding) if n in carried and dag[n].op != "carry"}
    there = {n for k in kept.states for n in (step.states[k], step.news[k])} | set(step.outs) | set(kept.values)
    leaves = {"number", "vector", "batch", "step", "grad_out", "carry"}
    carries = {n for n in carried if dag[n].op == "carry"}
    return place(
        dag,
        looped,
        lambda n: n not in carried,
        lambda n: dag[n].op in leaves or n in there,
        feeding,
        [n for n in backward_roots(step) if n not in feeding],
        lambda n: n in carries,
    )
