"""Evaluates nodes of a step graph with PyTorch operations, at whatever level of time their values live.

Values broadcast over the levels that they lack: (w,) what depends on parameters only, (B, w) once a sequence or one
step, (T, B, w) all steps at once. Legend: T time, B batch, w width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.graph.step import ancestors
from carousel.graph.tensors import ELEMENTWISE as FUNCTIONS

if TYPE_CHECKING:
    from carousel.graph import Node, Step


def needed(step: Step, wanted: Iterable[int], known: Iterable[int]) -> list[int]:
    """The nodes to compute, in order, so that `wanted` have values when `known` have them already."""
    return sorted(ancestors(step.nodes, wanted, known))


def evaluate(step: Step, wanted: Iterable[int], given: Mapping[int, Tensor], sizes: Mapping, like: Tensor) -> dict:
    """Values of `wanted` (and of all that they need) from those of `given`, by node index.

    Leaves must be in `given`, except numbers, which take dtype and device of `like`. Differentiable as PyTorch
    differentiates, to any order.
    """
    return run(step, needed(step, wanted, given), given, sizes, like)


def run(step: Step, order: Iterable[int], given: Mapping[int, Tensor], sizes: Mapping, like: Tensor) -> dict:
    """As `evaluate`, for nodes whose order is known (a loop asks for the same ones at each step)."""
    values = dict(given)
    for index in order:
        node = step.nodes[index]
        values[index] = apply(node, [values[a] for a in node.args], sizes, like)
    return values


def apply(node: Node, args: list[Tensor], sizes: Mapping, like: Tensor) -> Tensor:
    """The value of one node from those of its arguments."""
    if node.op in ELEMENTWISE:
        return ELEMENTWISE[node.op](*args, **node.attr)
    if node.op == "number":
        return like.new_full((1,), node.attr["value"])
    if node.op not in WHOLE_ROWS:
        raise AssertionError(f"node {node.op} has no value: leaves must be given")
    return WHOLE_ROWS[node.op](node, sizes, *args)


def _comparison(compare: Callable) -> Callable:
    return lambda a, b: compare(a, b).to(torch.promote_types(a.dtype, b.dtype))


ELEMENTWISE: dict[str, Callable] = {
    **FUNCTIONS,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "lt": _comparison(torch.lt),
    "le": _comparison(torch.le),
    "gt": _comparison(torch.gt),
    "ge": _comparison(torch.ge),
    "eq": _comparison(torch.eq),
    "ne": _comparison(torch.ne),
    "stop": torch.Tensor.detach,
}


def _matmul(node: Node, sizes: Mapping, matrix: Tensor, row: Tensor) -> Tensor:
    if matrix.dim() == 2:
        return F.linear(row, matrix)
    blocks = row.unflatten(-1, (matrix.shape[0], -1))  # (..., heads, columns)
    return torch.einsum("hoi,...hi->...ho", matrix, blocks).flatten(-2)


def _expand(node: Node, sizes: Mapping, row: Tensor, *like: Tensor) -> Tensor:
    times = node.width.resolve(sizes) // row.shape[-1]
    return row.unsqueeze(-1).expand(*row.shape, times).flatten(-2)


def _slice(node: Node, sizes: Mapping, row: Tensor) -> Tensor:
    start, stop = (b if isinstance(b, int) else b.resolve(sizes) for b in (node.attr["start"], node.attr["stop"]))
    return row[..., start:stop]


def _concat(node: Node, sizes: Mapping, *rows: Tensor) -> Tensor:
    outer = torch.broadcast_shapes(*(row.shape[:-1] for row in rows))
    return torch.cat([row.expand(*outer, row.shape[-1]) for row in rows], -1)


def _normalize(node: Node, sizes: Mapping, row: Tensor) -> Tensor:
    return F.layer_norm(row, row.shape[-1:], eps=node.attr["eps"])


WHOLE_ROWS: dict[str, Callable] = {
    "matmul": _matmul,
    "transpose": lambda node, sizes, matrix: matrix.transpose(-1, -2),
    "mean": lambda node, sizes, row: row.mean(-1, keepdim=True),
    "sum": lambda node, sizes, row: row.sum(-1, keepdim=True),
    "softmax": lambda node, sizes, row: row.softmax(-1),
    "normalize": _normalize,
    "expand": _expand,
    "slice": _slice,
    "concat": _concat,
}
