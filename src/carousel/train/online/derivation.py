"""What on-line learning derives from a net's equations: the step, what an error of its output reaches within the step,
and how the states, and through them all that comes, depend on states and weights before.

Legend: K outputs, S elements of the states that later outputs depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carousel.graph.cell import Cell
from carousel.graph.passes.dag import Dag
from carousel.graph.passes.derivative import StepDag, differentiate
from carousel.graph.passes.lowering import lower
from carousel.train.online.jacobian import Derivatives, derivatives
from carousel.train.online.primitives import Primitive

LOSSES = ("squared error", "cross entropy")


@dataclass
class Outer:
    """Weights of which an error reaches the products: a block of a matrix with the row that it multiplies, or a vector
    (source None)."""

    leaf: int  # trace node
    block: int
    error: int
    source: int | None


@dataclass
class Derivation:
    """A net's step in primitive operations.

    `states`, `news`: state k before and after. `seeds`: the nodes that stand for the gradients of the output and, if
    the loss is taken of another value, of that. `errors[k]`: the gradient of state k before the step, None where no
    output reads it. `outers`: the gradients within the step. `live`: the states that later outputs depend on;
    `rates[k]`: the derivatives of state k after the step.
    """

    g: Dag
    input: int
    states: list[int]
    news: list[int]
    output: int
    seeds: list[int]
    errors: list[int | None]
    outers: list[Outer]
    live: list[int]
    rates: dict[int, Derivatives]
    leaves: list[int]  # products with learned matrices and learned vectors


def derive(cell: Cell, sizes: Mapping[str, int], loss: str) -> Derivation:
    """Everything that learning on-line needs to know of a net."""
    _check(cell)
    nodes = cell.step.nodes
    learned = {
        i for i, node in enumerate(nodes) if node.op == "parameter" and cell.fixed_value(node.attr["name"]) is None
    }
    matrices = {i for i in learned if isinstance(nodes[i].width, tuple)}
    measured = [cell.step.output] if loss == LOSSES[0] else [cell.step.output, _before_output(cell)]
    step, made = lower(cell, sizes, measured[1:], matrices)
    dag, news = step.dag, step.news
    step.news = []  # seeds come from the output alone
    vectors = [n for n, node in enumerate(dag.nodes) if node.op == "vector" and node["source"] in learned]
    differentiate(step, vectors)
    output = step.outs[0]
    lowered = Primitive(dag, [*news, *step.outs, *step.states, made[0], *_backward(step)])
    return _collected(lowered, step, news, output, made[0], learned)


def _backward(step: StepDag) -> list[int]:
    return [
        *(d for d in step.carry_outs if d is not None),
        *(n for leaf, *factors in step.row_grads for n in (leaf, *factors)),
        *(n for _, _, d, source in step.matrix_grads for n in (d, source)),
    ]


def _collected(
    lowered: Primitive, step: StepDag, news: list[int], output: int, given: int, learned: set[int]
) -> Derivation:
    g, moved = lowered.g, lowered.moved
    states = [moved[s] for s in step.states]
    made = [moved[n] for n in news]
    seeds = [g.add("grad_out", (), g[moved[n]].width, i=i) for i, n in enumerate(step.outs)]
    errors = [None if d is None else moved[d] for d in step.carry_outs]
    reached = g.ancestors(made)
    leaves = [
        n
        for n in sorted(reached)
        if (g[n].op == "matmul" and g[n]["learned"]) or (g[n].op == "vector" and g[n]["source"] in learned)
    ]
    rates = derivatives(g, made, [*states, *leaves])
    live = _live(states, [rates[n] for n in made], [k for k, d in enumerate(errors) if d is not None])
    return Derivation(
        g,
        moved[given],
        states,
        made,
        moved[output],
        seeds,
        errors,
        _outers(lowered, step),
        live,
        {k: rates[made[k]] for k in live},
        leaves,
    )


def _live(states: list[int], rates: list[Derivatives], read: list[int]) -> list[int]:
    """The states that outputs read, and all that those are made of."""
    found = set(read)
    while True:
        more = {k for k, s in enumerate(states) if any(s in rates[n] for n in found)} - found
        if not more:
            return sorted(found)
        found |= more


def _outers(lowered: Primitive, step: StepDag) -> list[Outer]:
    g, moved, found = lowered.g, lowered.moved, []
    for matrix, heads, d, source in step.matrix_grads:
        for k in range(heads):
            parts = lowered.part(moved[d], heads, k), lowered.part(moved[source], heads, k)
            found.append(Outer(matrix, k, *parts))
    for leaf, factor, *others in step.row_grads:
        error = moved[factor]
        for other in others:
            error = g.ew("mul", error, moved[other])
        found.append(Outer(step.dag[leaf]["source"], 0, error, None))
    return found


def _before_output(cell: Cell) -> int:
    """What the output's squashing function is taken of: there the gradient of cross entropy is y - t."""
    node = cell.step.nodes[cell.step.output]
    if node.op not in ("sigmoid", "softmax"):
        raise ValueError(
            f"Online: the loss is cross entropy, and the output of {cell.name} is made by {node.op}, expected sigmoid "
            f"or softmax as the last function of the equations."
        )
    return node.args[0]


def _check(cell: Cell) -> None:
    if not isinstance(cell, Cell):
        raise TypeError(f"Online: a {type(cell).__name__} was given, expected a net made by @carousel.cell or readout.")
    if cell.step.output in cell.step.outputs:
        raise ValueError(
            f"Online: {cell.name} has no output of its own beside its states. Build one around it, "
            f"ca.readout({cell.name}), or return it before the states."
        )
    if cell.sides or cell.time:
        name = cell.time or next(iter(cell.sides))
        raise ValueError(f"Online: {cell.name} has the side input {name}; nets that learn on-line have none but x.")
    for node in cell.step.nodes:
        if node.op not in ("parameter", "number") and node.args and _of_parameters(cell, node.args):
            raise ValueError(
                f"Online: the equations of {cell.name} compute {node.op} of parameters alone; on-line learning takes "
                f"parameters as they are."
            )


def _of_parameters(cell: Cell, args: tuple[int, ...]) -> bool:
    ops = [cell.step.nodes[a].op for a in args]
    return "parameter" in ops and all(op in ("parameter", "number") for op in ops)
