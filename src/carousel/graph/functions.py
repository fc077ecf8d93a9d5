"""The functions of the equations. On traced values they make nodes, on plain tensors they compute with PyTorch."""

from __future__ import annotations

import builtins
import numbers
from typing import Any

import torch
from torch import Tensor

from carousel.graph import tensors, values
from carousel.graph.values import Expression, Traced, Value
from carousel.graph.widths import ONE, Dimension, Width


def _elementwise(op: str, *args: Any, **attr: Any) -> Any:
    if any(isinstance(arg, Traced) for arg in args):
        return values.elementwise(op, *args, **attr)
    return tensors.elementwise(op, *args, **attr)


def sigmoid(a: Any) -> Any:
    """1 / (1 + exp(-a)).

    >>> sigmoid(torch.zeros(2))
    tensor([0.5000, 0.5000])
    """
    return _elementwise("sigmoid", a)


def tanh(a: Any) -> Any:
    """Hyperbolic tangent.

    >>> tanh(torch.zeros(2))
    tensor([0., 0.])
    """
    return _elementwise("tanh", a)


def exp(a: Any) -> Any:
    """e to the power of a.

    >>> exp(torch.zeros(2))
    tensor([1., 1.])
    """
    return _elementwise("exp", a)


def log(a: Any) -> Any:
    """Natural logarithm.

    >>> log(torch.ones(2))
    tensor([0., 0.])
    """
    return _elementwise("log", a)


def softplus(a: Any) -> Any:
    """log(1 + exp(a)), exact for large a too.

    >>> softplus(torch.tensor([0.0, 50.0]))
    tensor([ 0.6931, 50.0000])
    """
    return _elementwise("softplus", a)


def relu(a: Any) -> Any:
    """a where it is positive, else 0.

    >>> relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _elementwise("relu", a)


def identity(a: Any) -> Any:
    """a itself, for where a cell's option leaves a squashing function out: `peephole_lstm.with_(out=identity)`.

    >>> identity(torch.tensor([-1.0, 2.0]))
    tensor([-1.,  2.])
    """
    return a


def abs(a: Any) -> Any:
    """Absolute value.

    >>> abs(torch.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """
    return _elementwise("abs", a)


def sqrt(a: Any) -> Any:
    """Square root.

    >>> sqrt(torch.tensor([4.0]))
    tensor([2.])
    """
    return _elementwise("sqrt", a)


def sin(a: Any) -> Any:
    """Sine.

    >>> sin(torch.zeros(1))
    tensor([0.])
    """
    return _elementwise("sin", a)


def cos(a: Any) -> Any:
    """Cosine.

    >>> cos(torch.zeros(1))
    tensor([1.])
    """
    return _elementwise("cos", a)


def floor(a: Any) -> Any:
    """The largest whole number that is not above a; its gradient is 0.

    >>> floor(torch.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """
    return _elementwise("floor", a)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two, element by element; at a tie each gets half of the gradient, as in PyTorch.

    >>> maximum(torch.tensor([-1.0, 2.0]), 0.0)
    tensor([0., 2.])
    """
    return _elementwise("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two, element by element; at a tie each gets half of the gradient, as in PyTorch.

    >>> minimum(torch.tensor([-1.0, 2.0]), 0.0)
    tensor([-1.,  0.])
    """
    return _elementwise("minimum", a, b)


def clip(a: Any, low: float, high: float) -> Any:
    """a, but at least `low` and at most `high`, two numbers; the gradient is 0 outside and 1 from low to high.

    >>> clip(torch.tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    for bound in (low, high):
        if isinstance(bound, numbers.Real):
            continue
        if isinstance(a, Traced):
            a.fail(
                "the bounds of clip must be numbers",
                found=values.describe(bound),
                fix="ca.maximum(ca.minimum(a, high), low) takes bounds that are computed",
            )
        raise TypeError(f"clip: a bound is a {type(bound).__name__}, expected a number.")
    return _elementwise("clip", a, low=float(low), high=float(high))


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds (is not 0), else b. Conditions come from `<`, `<=`, `>`, `>=`, `==` and `!=`.

    >>> v = torch.tensor([-1.0, 2.0])
    >>> where(v < 0, 10.0 * v, v)
    tensor([-10.,   2.])
    """
    if isinstance(condition, Tensor) and isinstance(a, numbers.Real) and isinstance(b, numbers.Real):
        a, b = torch.tensor(float(a)), torch.tensor(float(b))
    return _elementwise("where", condition, a, b)


def stop_gradient(a: Any) -> Any:
    """a, through which no gradient flows back.

    >>> a = torch.ones(1, requires_grad=True)
    >>> stop_gradient(a).requires_grad
    False
    """
    if isinstance(a, Traced):
        return values.elementwise("stop", a)
    return tensors.PlainParameter(a.value.detach()) if isinstance(a, tensors.PlainParameter) else a.detach()


def clip_gradient(a: Any, bound: float) -> Any:
    """a, whose gradient is held within -bound and bound on its way back, element by element.

    In a cell, a must be computed from a state: at each step the gradients of all that reads it are added up, clipped,
    and go on. Raises ValueError for a bound that is no positive number.

    >>> a = torch.ones(2, requires_grad=True)
    >>> (clip_gradient(a, 1.0) * torch.tensor([0.5, 7.0])).sum().backward()
    >>> a.grad
    tensor([0.5000, 1.0000])
    """
    if not isinstance(bound, numbers.Real) or not bound > 0:
        raise ValueError(f"clip_gradient: the bound is {bound!r}, expected a positive number.")
    if isinstance(a, Traced):
        ends = [a.index] if isinstance(a, Value) else []
        if not any(a.trace.drafts[n].op == "state" for n in a.trace.reaching(ends)):
            a.fail("clip_gradient stands on what no state enters", fix="clip what recurs: ca.clip_gradient(h, 10.0)")
    return _elementwise("clip_gradient", a, bound=float(bound))


# -- whole rows


def _row(a: Any) -> Value | Tensor:
    """A row from a row or a parameter used as a vector."""
    return a.vector(a.trace.here()) if isinstance(a, Expression) else tensors.tensor(a)


def _node(op: str, a: Value, width: Dimension, **attr: Any) -> Value:
    trace = a.trace
    return Value(trace, trace.add(op, (a.index,), width, trace.here(), **attr))


def mean(a: Any) -> Any:
    """The mean of a row, one wide.

    >>> mean(torch.tensor([[1.0, 3.0]]))
    tensor([[2.]])
    """
    a = _row(a)
    return _node("mean", a, Dimension(ONE)) if isinstance(a, Value) else a.mean(-1, keepdim=True)


def sum(a: Any) -> Any:
    """The sum of a row, one wide.

    >>> sum(torch.tensor([[1.0, 3.0]]))
    tensor([[4.]])
    """
    a = _row(a)
    return _node("sum", a, Dimension(ONE)) if isinstance(a, Value) else a.sum(-1, keepdim=True)


def softmax(a: Any) -> Any:
    """exp(a) over its sum in the row.

    >>> softmax(torch.zeros(1, 4))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    a = _row(a)
    return _node("softmax", a, a.width) if isinstance(a, Value) else a.softmax(-1)


def normalize(a: Any, eps: float = 1e-5) -> Any:
    """The row less its mean, over the square root of its (biased) variance plus `eps`.

    >>> normalize(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.0000,  1.0000]])
    """
    a = _row(a)
    if isinstance(a, Value):
        return _node("normalize", a, a.width, eps=float(eps))
    return torch.nn.functional.layer_norm(a, a.shape[-1:], eps=eps)


def layer_norm(a: Any, gain: Any, bias: Any = None, eps: float = 1e-5) -> Any:
    """Layer normalisation (Ba et al., 2016, arXiv:1607.06450): normalize(a) * gain + bias.

    >>> layer_norm(torch.tensor([[1.0, 3.0]]), torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([[-1.0000,  3.0000]])
    """
    scaled = normalize(a, eps) * gain
    return scaled if bias is None else scaled + bias


def expand(a: Any, like: Any) -> Any:
    """A value for each block, repeated for the units of the block, to the width of the row `like`.

    >>> expand(torch.tensor([[1.0, 2.0]]), like=torch.zeros(1, 4))
    tensor([[1., 1., 2., 2.]])
    """
    a, like = _row(a), _row(like)
    if not isinstance(a, Value):
        return a.repeat_interleave(like.shape[-1] // a.shape[-1], -1)
    if not isinstance(like, Value):
        a.fail("like= must be a row", found=values.describe(like), expected="ca.expand(i, like=c)")
    a.trace.measured.append(like.index)
    a.trace.expanded.append((a.width, like.width, a.trace.here()))
    return _node("expand", a, like.width)


def concat(*rows: Any) -> Any:
    """Rows one after the other; the width is the sum of theirs.

    >>> concat(torch.zeros(1, 2), torch.ones(1, 1))
    tensor([[0., 0., 1.]])
    """
    traced = next((row for row in rows if isinstance(row, Traced)), None)
    if traced is not None:
        trace, place = traced.trace, traced.trace.here()
        parts = [values.lift(trace, row, place) for row in rows]
        total = Dimension(parts=[part.width for part in parts])
        return Value(trace, trace.add("concat", [part.index for part in parts], total, place))
    like = next(tensors.tensor(row) for row in rows if not isinstance(row, numbers.Real))
    plain = [like.new_full((1,), row) if isinstance(row, numbers.Real) else tensors.tensor(row) for row in rows]
    outer = torch.broadcast_shapes(*(part.shape[:-1] for part in plain))
    return torch.cat([part.expand(*outer, part.shape[-1]) for part in plain], -1)


def slice(a: Any, start: Any, stop: Any = None) -> Any:
    """The columns from `start` up to `stop` (to the end if None). Each is a number, or a row whose width is meant.

    >>> v = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    >>> slice(v, 1, 3), slice(v, torch.zeros(1, 3))
    (tensor([[1., 2.]]), tensor([[3.]]))
    """
    a = _row(a)
    if not isinstance(a, Value):
        return a[..., _column(start) : None if stop is None else _column(stop)]
    return _cut(a, _edge(a, start), a.width if stop is None else _edge(a, stop))


def split(a: Any, *like: Any) -> tuple[Any, ...]:
    """The row in parts that are as wide as the given rows (or numbers); together they must be the whole row.

    >>> split(torch.tensor([[0.0, 1.0, 2.0]]), torch.zeros(1, 2), 1)
    (tensor([[0., 1.]]), tensor([[2.]]))
    """
    a = _row(a)
    if isinstance(a, Value):
        return _split(a, [_edge(a, part) for part in like])
    widths = [_column(part) for part in like]
    if builtins.sum(widths) != a.shape[-1]:
        raise ValueError(f"split: the parts are {widths} wide, the row is {a.shape[-1]} wide.")
    return tuple(a.split(widths, -1))


def _split(a: Value, widths: list[Dimension]) -> tuple[Value, ...]:
    a.trace.unify(a.width, Dimension(parts=widths), a.trace.here(), f"split of {values.describe(a)} into its parts")
    edges = [Dimension(parts=widths[:k]) if k else Dimension(Width()) for k in range(len(widths) + 1)]
    cuts = zip(widths, edges[:-1], edges[1:], strict=True)
    return tuple(_node("slice", a, width, start=start, stop=stop) for width, start, stop in cuts)


def _column(given: Any) -> int:
    return given if isinstance(given, int) else int(given.shape[-1])


def _edge(a: Value, given: Any) -> Dimension:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return Dimension(Width((), given))
    if isinstance(given, Traced):
        edge = _row(given)
        assert isinstance(edge, Value)
        a.trace.measured.append(edge.index)
        return edge.width
    a.fail(
        "an edge of a slice must be a number of columns from the left, or a row whose width is meant",
        found=repr(given),
        fix="ca.slice(v, 0, 3), or ca.slice(v, h, None) for what lies beyond h's width",
    )


def _cut(a: Value, start: Dimension, stop: Dimension) -> Value:
    width = stop if start.known == Width() else Dimension(parts=(stop,), minus=start)
    return _node("slice", a, width, start=start, stop=stop)
