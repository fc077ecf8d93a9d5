"""Where parameters and states start: as the cell declares, otherwise as in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Start = float | Sequence[float] | Callable[[Tensor], Any]


def start(parameter: Tensor, how: Start | None, fan: int) -> None:
    """Sets `parameter` in place: to a number, to a list spread over its units, by a function of `torch.nn.init`.

    None draws uniformly within 1/sqrt(fan), as PyTorch does.
    """
    with torch.no_grad():
        if how is None:
            bound = 1 / math.sqrt(fan)
            parameter.uniform_(-bound, bound)
        elif callable(how):
            # Of a block-diagonal matrix each block is a matrix of its own.
            for block in parameter if parameter.dim() == 3 else [parameter]:
                made = how(block)
                if isinstance(made, Tensor) and made is not block:
                    block.copy_(made)
        elif isinstance(how, int | float):
            parameter.fill_(how)
        else:
            parameter.copy_(spread(how, parameter))


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
