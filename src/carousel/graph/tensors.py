"""The equations on plain tensors: the same function, with PyTorch's operations and a dictionary of parameters.

It shares neither tracing nor passes with the rest, so it is the last reference for what a cell means.
"""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def _tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` on tensors, with numbers turned into tensors of the others' dtype."""

    def apply(*args: Tensor | float) -> Tensor:
        like = next(arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point())
        return function(*(arg if isinstance(arg, Tensor) else like.new_full((), arg) for arg in args))

    return apply


def _softplus(a: Tensor) -> Tensor:
    return torch.logaddexp(a, torch.zeros_like(a))  # torch.nn.functional.softplus is linear above 20


class ClipGradient(torch.autograd.Function):
    """The identity, whose gradient is held within -bound and bound."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, bound: float) -> Tensor:
        return a.view_as(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.bound = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient.clamp(-ctx.bound, ctx.bound), None


ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "log": torch.log,
    "softplus": _softplus,
    "relu": torch.relu,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "floor": torch.floor,
    "maximum": _tensors(torch.maximum),
    "minimum": _tensors(torch.minimum),
    "where": _tensors(lambda condition, a, b: torch.where(condition != 0, a, b)),
    "clip": lambda a, low, high: torch.clamp(a, low, high),
    "clip_gradient": lambda a, bound: ClipGradient.apply(a, bound),
}


def elementwise(op: str, *args: Any, **attr: Any) -> Any:
    """An elementwise operation on tensors, plain parameters and numbers; a parameter alone stays one."""
    if all(isinstance(arg, numbers.Real) for arg in args):
        return ELEMENTWISE[op](*(torch.tensor(float(arg), dtype=torch.float64) for arg in args), **attr).item()
    result = ELEMENTWISE[op](*(tensor(arg) for arg in args), **attr)
    return result if any(isinstance(arg, Tensor) for arg in args) else PlainParameter(result)


def tensor(given: Any) -> Any:
    """The tensor of a plain parameter; anything else as it is."""
    return given.value if isinstance(given, PlainParameter) else given


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: PlainParameter, *others: Any) -> Any:
        result = getattr(self.value, name)(*(tensor(other) for other in others))
        return result if any(isinstance(other, Tensor) for other in others) else PlainParameter(result)

    return apply


class PlainParameter:
    """A parameter's tensor, or an expression of such, that `@` multiplies from the left: (H, D) @ (B, D) is (B, H)."""

    def __init__(self, value: Tensor):
        self.value = value

    @property
    def T(self) -> PlainParameter:
        """The transposed matrix."""
        return PlainParameter(self.value.transpose(-1, -2))

    def blocks(self, heads: int) -> PlainParameter:
        """Itself: its shape (heads, rows, columns) says that it is block-diagonal."""
        return self

    def __matmul__(self, row: Tensor) -> Tensor:
        if self.value.dim() == 3:
            blocks = row.unflatten(-1, (self.value.shape[0], -1))  # (..., heads, columns)
            return torch.einsum("hoi,...hi->...ho", self.value, blocks).flatten(-2)
        return row @ self.value.T

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*(tensor(arg) for arg in args), **{k: tensor(v) for k, v in (kwargs or {}).items()})

    __add__, __radd__ = _operator("__add__"), _operator("__radd__")
    __sub__, __rsub__ = _operator("__sub__"), _operator("__rsub__")
    __mul__, __rmul__ = _operator("__mul__"), _operator("__rmul__")
    __truediv__, __rtruediv__ = _operator("__truediv__"), _operator("__rtruediv__")
    __neg__, __abs__, __pow__ = _operator("__neg__"), _operator("__abs__"), _operator("__pow__")
    __lt__, __le__, __gt__, __ge__ = (_operator(f"__{name}__") for name in ("lt", "le", "gt", "ge"))


class PlainParameters:
    """`p` on plain tensors."""

    def __init__(self, parameters: Mapping[str, Tensor]):
        object.__setattr__(self, "_parameters", dict(parameters))

    def __getattr__(self, name: str) -> PlainParameter:
        parameters = object.__getattribute__(self, "_parameters")
        if name in parameters:
            return PlainParameter(parameters[name])
        if name.startswith("__"):
            raise AttributeError(name)
        close = difflib.get_close_matches(name, parameters, 1)
        hint = f" Did you mean {close[0]}?" if close else f" Given are: {', '.join(parameters)}."
        raise ValueError(f"the equations use p.{name}, which is not among the parameters.{hint}")


def plain(parameters: Mapping[str, Tensor]) -> PlainParameters:
    """Parameters for calling a cell on plain tensors: `cell(x, h, plain({...}))` is one step.

    Shapes are those of `cell.shapes(...)`. Raises ValueError where the equations ask for one that is missing.

    >>> import torch
    >>> from carousel.graph import cell, plain, tanh
    >>> @cell
    ... def elman(x, h, p):
    ...     return tanh(p.W @ x + p.U @ h + p.b)
    >>> given = {"W": torch.zeros(2, 3), "U": torch.zeros(2, 2), "b": torch.ones(2)}
    >>> elman(torch.zeros(1, 3), torch.zeros(1, 2), plain(given))
    tensor([[0.7616, 0.7616]])
    """
    return PlainParameters(parameters)
