"""The traced step of a cell: a list of operations on row vectors. Plain data, read by everything derived from it.

Operations (`Node.op`), on rows unless said otherwise:

- leaves: `input`, `state` (k), `side` (name), `parameter` (name), `number` (value), `time` (index of the step, from 0)
- elementwise, where rows that are literally one wide broadcast: `add sub mul div neg sigmoid tanh exp log softplus
  relu abs sqrt sin cos floor maximum minimum`, `clip` (low, high), `where` (condition, a, b), and the comparisons
  `lt le gt ge eq ne`, whose value is 0 or 1
- over a row: `mean sum` (one wide), `softmax`, `normalize` (eps), `expand` (each value repeated up to the width of
  the node), `slice` (start, stop: `Width`s), `concat`
- `stop` (gradient), `clip_gradient` (bound; the identity on the way forward), `matmul` (a matrix, a row; heads)
- on matrices of parameters: the elementwise operations, and `transpose`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carousel.graph.places import Place
from carousel.graph.widths import Width

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
ELEMENTWISE = (
    *("add", "sub", "mul", "div", "neg", "sigmoid", "tanh", "exp", "log", "softplus", "relu", "abs", "sqrt", "sin"),
    *("cos", "floor", "maximum", "minimum", "clip", "where", *COMPARISONS),
)
LEAVES = ("input", "state", "side", "parameter", "number", "time")


@dataclass
class Node:
    """One operation. `width` is a `Width`, or for a matrix of parameters the pair (rows, columns)."""

    op: str
    args: tuple[int, ...]
    width: Any
    attr: dict[str, Any]
    names: list[str]
    where: Place | None


@dataclass(frozen=True)
class Parameter:
    """A parameter as the equations use it: kind is "matrix", "vector" or "scalar"; heads > 1 is block-diagonal."""

    name: str
    kind: str
    widths: tuple[Width, ...]
    heads: int
    where: Place | None

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape: (), (w,), (rows, columns), or (heads, rows / heads, columns / heads)."""
        shape = tuple(width.resolve(sizes) for width in self.widths)
        if self.heads > 1:
            return (self.heads, *(size // self.heads for size in shape))
        return shape

    def symbolic(self) -> str:
        """Its shape in symbols, as `print(cell)` shows it."""
        if self.heads > 1:
            widths = (str(width) if str(width).isidentifier() else f"({width})" for width in self.widths)
            return f"({self.heads}, {', '.join(f'{width}/{self.heads}' for width in widths)})"
        return f"({', '.join(map(str, self.widths))}{',' if len(self.widths) == 1 else ''})"


@dataclass
class Step:
    """One step of a cell. `nodes` are in topological order, a node is named by its index.

    `outputs` are the new values of the states, `output` what the layer returns as y, `names` the last value that
    each quantity of the equations had (a state's name is its new value), `parameters` in the order of first use.
    """

    nodes: list[Node]
    outputs: tuple[int, ...]
    output: int
    names: dict[str, int]
    parameters: dict[str, Parameter]


def ancestors(nodes: Sequence[Node], ends: Iterable[int], known: Iterable[int] = ()) -> set[int]:
    """The nodes that `ends` are computed from, themselves included, where `known` have values already.

    >>> from carousel.cells import elman
    >>> sorted(elman.step.nodes[n].op for n in ancestors(elman.step.nodes, [3]))
    ['input', 'matmul', 'parameter']
    """
    known, todo, found = set(known), list(ends), set()  # plain calls, which torch.compile can follow
    while todo:
        index = todo.pop()
        if index not in known and index not in found:
            found.add(index)
            todo.extend(nodes[index].args)
    return found
