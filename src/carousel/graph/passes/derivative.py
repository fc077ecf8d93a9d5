"""Reverse mode of one step: each operation's rule once, in a table; every cell's backward follows from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from carousel.graph.passes.dag import Dag


@dataclass
class StepDag:
    """One step of a cell: what it reads, what it makes, and (after `differentiate`) the gradients of both.

    `states[k]`, `news[k]`: state k before and after; `outs`: what is returned at every step, the layer's output first.
    `carry_outs[k]`: gradient of state k before the step, or None where the equations do not read it.
    `step_grads`: gradient of each per-step input. `row_grads`: (leaf, factor, ...): the product of the factors is to be
    summed over steps (and over the batch, for a parameter). `matrix_grads`: (matrix, heads, gradient of the product,
    its operand), to be summed as outer products. `names`: what the equations call a node.
    """

    dag: Dag
    states: list[int]
    news: list[int]
    outs: list[int]
    carry_outs: list[int | None] = field(default_factory=list)
    step_grads: dict[int, int] = field(default_factory=dict)
    row_grads: list[tuple[int, ...]] = field(default_factory=list)
    matrix_grads: list[tuple[int, int, int, int]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)


Rule = Callable[..., tuple[int | None, ...]]


def _larger(g: Dag, d: int, a: int, b: int) -> tuple[int, int]:
    """The gradient shared between a and b, to a where it is larger; ties share, as in PyTorch."""
    to_a = g.ew("mul", d, g.ew("add", g.ew("lt", b, a), g.ew("mul", g.number(0.5), g.ew("eq", a, b))))
    return to_a, g.ew("sub", d, to_a)


def _div(g: Dag, d: int, n: int, a: int, b: int) -> tuple[int, int]:
    to_a = g.ew("div", d, b)
    return to_a, g.ew("neg", g.ew("mul", to_a, n))


def _where(g: Dag, d: int, n: int, condition: int, a: int, b: int) -> tuple[None, int, int]:
    zero = g.number(0)
    return None, g.ew("where", condition, d, zero), g.ew("where", condition, zero, d)


def _clip(g: Dag, d: int, n: int, a: int, low: int, high: int) -> tuple[int, None, None]:
    inside = g.ew("mul", g.ew("ge", a, low), g.ew("le", a, high))
    return g.ew("where", inside, d, g.number(0)), None, None


def _clip_gradient(g: Dag, d: int, n: int, a: int) -> tuple[int]:
    bound = g[n]["bound"]
    return (g.ew("clip", d, g.number(-bound), g.number(bound)),)


def _normalize(g: Dag, d: int, n: int, a: int) -> tuple[int]:
    rstd = g.row("rstd", (a,), 1, eps=g[n]["eps"])
    return (g.add("normalize_grad", (d, n, rstd), g[n].width),)


def _mean(g: Dag, d: int, n: int, a: int) -> tuple[int]:
    return (spread(g, g.ew("mul", d, g.number(1 / g[a].width)), g[a].width),)


def _concat(g: Dag, d: int, n: int, *args: int) -> tuple[int, ...]:
    out, start = [], 0
    for a in args:
        out.append(g.row("slice", (d,), g[a].width, start=start))
        start += g[a].width
    return tuple(out)


RULES: dict[str, Rule] = {
    "add": lambda g, d, n, a, b: (d, d),
    "sub": lambda g, d, n, a, b: (d, g.ew("neg", d)),
    "mul": lambda g, d, n, a, b: (g.ew("mul", d, b), g.ew("mul", d, a)),
    "div": _div,
    "neg": lambda g, d, n, a: (g.ew("neg", d),),
    "recip": lambda g, d, n, a: (g.ew("neg", g.ew("mul", d, g.ew("mul", n, n))),),
    "sigmoid": lambda g, d, n, a: (g.ew("dsigmoid", d, n),),
    "tanh": lambda g, d, n, a: (g.ew("dtanh", d, n),),
    "exp": lambda g, d, n, a: (g.ew("mul", d, n),),
    "log": lambda g, d, n, a: (g.ew("div", d, a),),
    "softplus": lambda g, d, n, a: (g.ew("mul", d, g.ew("sigmoid", a)),),
    "relu": lambda g, d, n, a: (g.ew("mul", d, g.ew("positive", n)),),
    "abs": lambda g, d, n, a: (g.ew("mul", d, g.ew("sign", a)),),
    "sqrt": lambda g, d, n, a: (g.ew("div", g.ew("mul", d, g.number(0.5)), n),),
    "sin": lambda g, d, n, a: (g.ew("mul", d, g.ew("cos", a)),),
    "cos": lambda g, d, n, a: (g.ew("neg", g.ew("mul", d, g.ew("sin", a))),),
    "maximum": lambda g, d, n, a, b: _larger(g, d, a, b),
    "minimum": lambda g, d, n, a, b: _larger(g, d, b, a),
    "where": _where,
    "clip": _clip,
    "clip_gradient": _clip_gradient,
    "normalize": _normalize,
    "mean": _mean,
    "softmax": lambda g, d, n, a: (g.add("softmax_grad", (d, n), g[n].width),),
    "sum": lambda g, d, n, a: (spread(g, d, g[a].width),),
    "expand": lambda g, d, n, a: (g.add("blocksum", (d,), g[a].width, n=g[n]["n"]),),
    "slice": lambda g, d, n, a: (g.add("pad", (d,), g[a].width, start=g[n]["start"]),),
    "concat": _concat,
    "copy": lambda g, d, n, a: (d,),
}
FLAT = frozenset("lt le gt ge eq ne floor sign positive number stop".split())  # gradient zero everywhere, or cut


def spread(g: Dag, value: int, width: int) -> int:
    """A value of width 1 as a row of `width` equal columns."""
    return value if g[value].width == width else g.add("copy", (value,), width)


def _fit(g: Dag, value: int, width: int) -> int:
    """A gradient in the width of what it belongs to: summed where the operand was broadcast."""
    return g.row("sum", (value,), 1) if width == 1 else spread(g, value, width)


def differentiate(step: StepDag, wanted: Iterable[int]) -> None:
    """Add the backward of one step to its graph.

    The seeds are `grad_out` (one per value returned at every step) and `carry` (one per state: the gradient that later
    steps send to its new value). `wanted` holds the leaves whose gradients are asked for; states always are.
    """
    g = step.dag
    forward = len(g)
    needs = _needs_gradient(g, set(wanted) | set(step.states))
    received: dict[int, list[int]] = defaultdict(list)

    def give(to: int, gradient: int | None) -> None:
        if gradient is not None and to in needs and not g.is_number(gradient, 0):
            received[to].append(_fit(g, gradient, g[to].width))

    for i, out in enumerate(step.outs):
        give(out, g.add("grad_out", (), g[out].width, i=i))
    for k, new in enumerate(step.news):
        give(new, g.add("carry", (), g[new].width, k=k))
    for n in range(forward - 1, -1, -1):
        if n not in received:
            continue
        node = g[n]
        if node.op in ("vector", "batch"):
            step.row_grads += [(n, d) for d in received[n]]
            continue
        d = _total(g, received[n])
        received[n] = [d]
        if node.op == "matmul":
            _differentiate_product(step, n, d, needs, give)
        elif node.op in RULES:
            for a, gradient in zip(node.args, RULES[node.op](g, d, n, *node.args), strict=True):
                give(a, gradient)
    step.carry_outs = [received[s][0] if s in received else None for s in step.states]
    step.step_grads = {n: received[n][0] for n in received if g[n].op == "step"}


def _differentiate_product(step: StepDag, n: int, d: int, needs: set[int], give: Callable) -> None:
    g, node = step.dag, step.dag[n]
    (source,) = node.args
    matrix, heads = node["matrix"], node["heads"]
    if node["learned"]:
        step.matrix_grads.append((matrix, heads, d, source))
    if source in needs:
        give(source, g.add("matmul", (d,), g[source].width, matrix=matrix, heads=heads, transposed=True, learned=False))


def _needs_gradient(g: Dag, wanted: set[int]) -> set[int]:
    needs: set[int] = set()
    for n, node in enumerate(g.nodes):
        flows = node.op not in FLAT and any(a in needs for a in node.args)
        if n in wanted or flows or (node.op == "matmul" and node["learned"]):
            needs.add(n)
    return needs


def _total(g: Dag, terms: list[int]) -> int:
    """The sum; gradients of slices that make up the whole stand side by side."""
    pads = sorted((t for t in terms if g[t].op == "pad"), key=lambda t: g[t]["start"])
    ends = [g[t]["start"] + g[g[t].args[0]].width for t in pads]
    if pads and [g[t]["start"] for t in pads] == [0, *ends[:-1]] and ends[-1] == g[pads[0]].width:
        whole = g.row("concat", [g[t].args[0] for t in pads], g[pads[0]].width)
        terms = [whole, *(t for t in terms if t not in pads)]
    total = terms[0]
    for term in terms[1:]:
        total = g.ew("add", total, term)
    return total
