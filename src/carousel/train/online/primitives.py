"""A differentiated step in the few operations of on-line programs.

What is left: leaves, elementwise operations, `matmul` with one matrix (block-diagonal ones are split into their
blocks), `take` (index: which elements of the operand, in order) and `place` (index: where each element of the operand
is added to zeros); `stop`, which only matters for derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from carousel.graph.passes.dag import BINARY, UNARY, Dag

ELEMENTWISE = (UNARY | BINARY | {"where", "clip"}) - {"copy"}
LEAVES = ("number", "vector", "step", "state", "grad_out")


def take(g: Dag, a: int, index: Iterable[int]) -> int:
    """Elements of a row, in the order of `index`; what is one wide stands for any number of equal elements."""
    index = tuple(index)
    if g[a].width == 1 or index == tuple(range(g[a].width)):
        return a
    if g[a].op == "take":
        inner = g[a]["index"]
        return take(g, g[a].args[0], (inner[k] for k in index))
    return g.add("take", (a,), len(index), index=index)


def place(g: Dag, a: int, index: Iterable[int], width: int) -> int:
    """A row of `width` zeros to which the elements of `a` are added, each where `index` says."""
    index = tuple(index)
    return a if index == tuple(range(width)) and g[a].width == width else g.add("place", (a,), width, index=index)


def total(g: Dag, a: int) -> int:
    """The sum of a row."""
    return a if g[a].width == 1 else g.add("place", (a,), 1, index=(0,) * g[a].width)


def average(g: Dag, a: int) -> int:
    """The mean of a row."""
    return g.ew("mul", total(g, a), g.number(1 / g[a].width))


def largest(g: Dag, a: int) -> int:
    """The maximum of a row."""
    made = take_one(g, a, 0)
    for k in range(1, g[a].width):
        made = g.ew("maximum", made, take_one(g, a, k))
    return made


def take_one(g: Dag, a: int, k: int) -> int:
    """Element k of a row."""
    return a if g[a].width == 1 else g.add("take", (a,), 1, index=(k,))


class Primitive:
    """The rewriting: `g` is the new graph, `moved[n]` where node n of the old one is found there."""

    def __init__(self, old: Dag, roots: Iterable[int]):
        self.old, self.g = old, Dag()
        self.moved: dict[int, int] = {}
        for n in sorted(old.ancestors(roots)):
            self.moved[n] = self._made(n)

    def _made(self, n: int) -> int:
        g, node = self.g, self.old[n]
        args = [self.moved[a] for a in node.args]
        if node.op in LEAVES:
            return g.add(node.op, (), node.width, **dict(node.attr))
        if node.op in ELEMENTWISE:
            return g.ew(node.op, *args)
        if node.op == "stop":
            return g.add("stop", args, node.width)
        if node.op == "matmul":
            return self._product(n, args[0])
        if node.op not in ROWS:
            raise ValueError(
                f"on-line learning: the equations have {node.op}, for which sensitivities cannot be carried forward. "
                f"Train with back-propagation, or leave it out."
            )
        return ROWS[node.op](g, node, *args)

    def _product(self, n: int, a: int) -> int:
        g, node = self.g, self.old[n]
        heads = node["heads"]
        rows, columns = node.width // heads, g[a].width // heads
        attr = {"matrix": node["matrix"], "transposed": node["transposed"], "learned": node["learned"]}
        parts = [g.add("matmul", (self.part(a, heads, k),), rows, block=k, inner=columns, **attr) for k in range(heads)]
        return parts[0] if heads == 1 else joined(g, parts)

    def part(self, a: int, heads: int, k: int) -> int:
        """Part k of a row in so many equal parts."""
        size = self.g[a].width // heads
        if heads == 1:
            return a
        return take(self.g, a, range(k * size, (k + 1) * size)) if size > 1 else take_one(self.g, a, k)


def joined(g: Dag, parts: Iterable[int]) -> int:
    """Rows side by side."""
    parts = list(parts)
    width, start, made = sum(g[p].width for p in parts), 0, None
    for p in parts:
        own = g.add("place", (p,), width, index=tuple(range(start, start + g[p].width)))
        made = own if made is None else g.ew("add", made, own)
        start += g[p].width
    assert made is not None
    return made


def _copies(g: Dag, a: int, times: int) -> int:
    width = g[a].width * times
    return a if width == g[a].width else g.add("take", (a,), width, index=tuple(i // times for i in range(width)))


def _softmax(g: Dag, node, a: int) -> int:
    e = g.ew("exp", g.ew("sub", a, g.add("stop", (largest(g, a),), 1)))  # shifted, it stays the same function
    return g.ew("div", e, total(g, e))


def _rstd(g: Dag, node, a: int) -> int:
    c = g.ew("sub", a, average(g, a))
    return g.ew("recip", g.ew("sqrt", g.ew("add", average(g, g.ew("mul", c, c)), g.number(node["eps"]))))


def _normalize_grad(g: Dag, node, d: int, n: int, rstd: int) -> int:
    inner = g.ew("sub", g.ew("sub", d, average(g, d)), g.ew("mul", n, average(g, g.ew("mul", d, n))))
    return g.ew("mul", inner, rstd)


def _slice(g: Dag, node, a: int) -> int:
    return g.add("take", (a,), node.width, index=tuple(range(node["start"], node["start"] + node.width)))


ROWS: dict[str, Callable[..., int]] = {
    "copy": lambda g, node, a: _copies(g, a, node.width // g[a].width),
    "expand": lambda g, node, a: _copies(g, a, node["n"]),
    "blocksum": lambda g, node, a: g.add(
        "place", (a,), node.width, index=tuple(i // node["n"] for i in range(g[a].width))
    ),
    "slice": _slice,
    "pad": lambda g, node, a: g.add(
        "place", (a,), node.width, index=tuple(range(node["start"], node["start"] + g[a].width))
    ),
    "concat": lambda g, node, *args: joined(g, args),
    "sum": lambda g, node, a: total(g, a),
    "mean": lambda g, node, a: average(g, a),
    "softmax": _softmax,
    "softmax_grad": lambda g, node, d, n: g.ew("mul", n, g.ew("sub", d, total(g, g.ew("mul", d, n)))),
    "rstd": _rstd,
    "normalize": lambda g, node, a: g.ew("mul", g.ew("sub", a, average(g, a)), _rstd(g, node, a)),
    "normalize_grad": _normalize_grad,
}
