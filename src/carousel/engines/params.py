"""How a layer hands parameters and starting states to an engine.

Legend: T time, B batch, D directions, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from carousel.graph import AnyCell

Layout = tuple[tuple[str, int, int, int], ...]  # name, tensor, first row, rows; no rows: the whole tensor


class Parameters:
    """A cell's parameters by name: whole tensors, or rows of larger ones, differentiable into these.

    PyTorch keeps the four gates of an LSTM in one matrix; the cell knows four. An engine that takes the place in memory
    instead of a copy reads `tensors` and `layout`; others ask for a name. `precision` is what factors of products with
    them may be rounded to (`carousel.engines.precision`).

    >>> import torch
    >>> Parameters([torch.arange(6)], (("a", 0, 0, 2), ("b", 0, 2, 3)))["b"]
    tensor([2, 3, 4])
    """

    def __init__(self, tensors: Sequence[Tensor], layout: Layout, precision: str | None = None) -> None:
        self.tensors, self.layout, self.precision = tensors, layout, precision

    @classmethod
    def of(cls, params: Parameters | Mapping[str, Tensor]) -> Parameters:
        """The parameters of a dictionary of tensors; what is one already stays as it is."""
        if isinstance(params, Parameters):
            return params
        return cls(tuple(params.values()), tuple((name, k, 0, 0) for k, name in enumerate(params)))

    def at(self, precision: str | None) -> Parameters:
        """The same with another precision."""
        return Parameters(self.tensors, self.layout, precision)

    @classmethod
    def stacked(cls, params: Parameters | Mapping[str, Tensor]) -> Parameters:
        """The parameters as rows of few tensors, for many short calls: each tensor costs a call, whatever its size.

        >>> import torch
        >>> few = Parameters.stacked({"a": torch.zeros(2), "W": torch.ones(3, 4), "b": torch.ones(5)})
        >>> [tuple(tensor.shape) for tensor in few.tensors], few["b"]
        ([(7,), (3, 4)], tensor([1., 1., 1., 1., 1.]))
        """
        groups: dict[object, list[str]] = {}
        for name in params:
            alike = params[name].dim() in (1, 2)
            groups.setdefault(tuple(params[name].shape[1:]) if alike else name, []).append(name)
        tensors, layout = [], []
        for k, names in enumerate(groups.values()):
            own = [params[name] for name in names]
            tensors.append(torch.cat(own) if len(own) > 1 else own[0])
            start = 0
            for name, tensor in zip(names, own, strict=True):
                layout.append((name, k, start, len(tensor) if len(own) > 1 else 0))
                start += len(tensor) if len(own) > 1 else 0
        return cls(tensors, tuple(layout), cls.of(params).precision)

    def __getitem__(self, name: str) -> Tensor:
        for known, k, start, length in self.layout:
            if known == name:
                return self.tensors[k].narrow(0, start, length) if length else self.tensors[k]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, *_ in self.layout)

    def keys(self) -> list[str]:
        return [name for name, *_ in self.layout]


class Direction(NamedTuple):
    """One direction of one layer, as `carousel.engines.scan_layer` takes it.

    `hx`: for each state (B, w) what it is before the first step, None for `initial`; `initial`: for each state (w,) or
    (B, w) the cell's own, None for zeros; `sides` by name; `reverse`: steps run from each row's end to its beginning.
    """

    params: Parameters | Mapping[str, Tensor]
    hx: Sequence[Tensor] | None
    initial: Sequence[Tensor] | None
    sides: Mapping[str, Tensor]
    reverse: bool


def each(scan: Callable) -> Callable:
    """`scan_layer` for what scans one direction: one after the other."""

    def scan_layer(cell, sizes, x, directions, *, record=(), **options):
        found = [
            scan(
                cell, sizes, x, d.hx, d.params, sides=d.sides, initial=d.initial, reverse=d.reverse, record=record,
                **options,
            )
            for d in directions
        ]  # fmt: skip
        outputs, finals, seen = zip(*found, strict=True)
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        states = tuple(stacked(rows) for rows in zip(*finals, strict=True))
        return y, states, {name: stacked([values[name] for values in seen]) for name in record}

    return scan_layer


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """The tensors stacked along a new first axis."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(list(rows))


def starts(
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    initial: Sequence[Tensor] | None,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The states before the first step and the cell's initial ones, each (B, ...), in place of None (see `scan`)."""
    shapes = cell.state_shapes(**sizes)
    if initial is None:
        fresh = tuple(x.new_zeros(x.shape[1], *shape) for shape in shapes)
    else:
        fresh = tuple(s.expand(x.shape[1], *shape) for s, shape in zip(initial, shapes, strict=True))
    return (fresh if hx is None else tuple(hx)), fresh


def choose(rows: Tensor, these: Sequence[Tensor], those: Sequence[Tensor]) -> list[Tensor]:
    """For each pair of states (B, ...) the first in the rows (B,) that are set, the second in the others."""
    pairs = zip(these, those, strict=True)
    return [torch.where(rows.view(-1, *[1] * (b.dim() - 1)), a, b) for a, b in pairs]
