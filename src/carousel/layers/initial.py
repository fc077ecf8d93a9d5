"""Where parameters and states start: as the cell declares, otherwise as in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from carousel.graph import AnyCell

Start = float | Sequence[float] | Callable[[Tensor], Any]

_undrawn: ContextVar[bool] = ContextVar("undrawn", default=False)


@contextmanager
def undrawn() -> Iterator[None]:
    """Layers made within the block do not draw their parameters, which are NaN until weights are loaded.

    >>> import carousel as ca
    >>> with undrawn():
    ...     layer = ca.Recurrent(ca.cells.gru, 3, 4)
    >>> bool(layer.W_r_l0.isnan().all())
    True
    """
    token = _undrawn.set(True)
    try:
        yield
    finally:
        _undrawn.reset(token)


def start(parameter: Tensor, how: Start | None, fan: int, blocks: bool | None = None) -> None:
    """Sets `parameter` in place: to a number, to a list spread over its units, by a function of `torch.nn.init`.

    None draws uniformly within 1/sqrt(fan), as PyTorch does. `blocks` says whether it is a
    block-diagonal matrix, which without images three axes show.
    """
    with torch.no_grad():
        if _undrawn.get():
            parameter.fill_(math.nan)
        elif how is None:
            bound = 1 / math.sqrt(fan)
            parameter.uniform_(-bound, bound)
        elif callable(how):
            # Of a block-diagonal matrix each block is a matrix of its own.
            for block in parameter if (parameter.dim() == 3 if blocks is None else blocks) else [parameter]:
                made = how(block)
                if isinstance(made, Tensor) and made is not block:
                    block.copy_(made)
        elif isinstance(how, int | float):
            parameter.fill_(how)
        else:
            parameter.copy_(spread(how, parameter))


def check_patterns(cell: AnyCell, argument: str, patterns: Iterable[str]) -> None:
    """ValueError for a pattern that matches no parameter of the cell, or none that is learned."""
    learned = [name for name in cell.parameters if cell.fixed_value(name) is None]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in learned):
            matches = [name for name in cell.parameters if fnmatchcase(name, pattern)]
            why = f"{', '.join(matches)}, which the cell fixes" if matches else "no parameter"
            raise ValueError(
                f"{cell.name}: {argument} has {pattern!r}, which matches {why}; the learned parameters are: "
                f"{', '.join(learned)}."
            )


def spread(values: Sequence[float], like: Tensor) -> Tensor:
    """The values spread in order over the last axis of `like`, each as often as the others.

    Raises ValueError if there are more values than places.

    >>> spread([-1, -3, -5], torch.zeros(6))
    tensor([-1., -1., -3., -3., -5., -5.])
    """
    width = like.shape[-1] if like.dim() else 1
    if not 0 < len(values) <= width:
        raise ValueError(
            f"{len(values)} values were given to start a parameter of width {width}, expected at most that."
        )
    return like.new_tensor([values[k * len(values) // width] for k in range(width)]).expand_as(like)
