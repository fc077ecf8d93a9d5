"""Masks of cells that drop units at random: drawn before the loop, so that they are the same for every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from carousel.graph import Side


def mask(side: Side, keep: float, width: int, x: Tensor, training: bool) -> Tensor:
    """A mask (T, B, width) or (B, width) for x (T, B, D): drawn in training, its expectation in evaluation.

    A drawn entry is 0 with probability 1 - keep, otherwise 1/keep (scaled) or 1.
    """
    T, B = x.shape[:2]
    shape = (T, B, width) if side.kind == "step" else (B, width)
    high = 1 / keep if side.scaled and keep > 0 else 1.0
    if not training:
        return x.new_full((1,), keep * high).expand(shape).contiguous()
    return torch.bernoulli(x.new_full(shape, keep)) * high


def check_drop(name: str, weight_dropout: dict[str, float]) -> None:
    """ValueError unless every entry of `weight_dropout` is a probability."""
    for pattern, p in weight_dropout.items():
        if not isinstance(p, int | float) or isinstance(p, bool) or not 0 <= p < 1:
            raise ValueError(f"{name}: weight_dropout[{pattern!r}] is {p!r}, expected a probability from 0, below 1.")


def check_keep(name: str, masks: dict[str, float], sides: dict[str, Side]) -> None:
    """ValueError unless every entry of `masks` is a probability for a mask of the cell."""
    known = [mask for mask, side in sides.items() if side.keep is not None]
    for given, keep in masks.items():
        if given not in known:
            raise ValueError(f"{name}: masks has {given!r}, but the cell's masks are: {', '.join(known) or 'none'}.")
        if not 0 < keep <= 1:
            raise ValueError(f"{name}: masks[{given!r}] is {keep}, expected a probability above 0, up to 1.")
