"""Clipping what back-propagation gives, before the optimizer reads it.

Clipping inside the recurrence, at each step on the way back, belongs to the equations: `carousel.clip_gradients`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class ClipNorm:
    """Scales all gradients together so that their norm is at most `most` (Pascanu et al., 2013, arXiv:1211.5063).

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> ClipNorm(1.0)([weight])
    >>> weight.grad
    tensor([0.6000, 0.8000])
    """

    def __init__(self, most: float):
        self.most = _positive("ClipNorm", most)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> None:
        """Clip the gradients of `parameters` in place."""
        nn.utils.clip_grad_norm_(parameters, self.most)


class ClipValue:
    """Cuts each entry of every gradient at -most and most.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 0.5])
    >>> ClipValue(1.0)([weight])
    >>> weight.grad
    tensor([1.0000, 0.5000])
    """

    def __init__(self, most: float):
        self.most = _positive("ClipValue", most)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> None:
        """Clip the gradients of `parameters` in place."""
        nn.utils.clip_grad_value_(parameters, self.most)


def _positive(name: str, most: float) -> float:
    if not most > 0:
        raise ValueError(f"{name}: most is {most}, expected a positive number.")
    return most
