"""Rules that change the weights by what on-line learning derives at a step with a target.

A rule says in Python what it keeps between steps (`rows`) and which rule of the core it is (`data`); the core's
csrc/online/engine/rule.cpp does it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from carousel.graph.cell import Cell


class Rule(Protocol):
    """What `Online` asks of a rule."""

    @property
    def at_once_only(self) -> bool:
        """Whether the rule cannot wait for the end of a sequence."""

    def rates(self, nets: int) -> Tensor:
        """The learning rate of each net (N,), which the core keeps."""

    def rows(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """What the rule keeps for each net beside learned weights of these shapes, by name, as it starts."""

    def data(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]], places: Mapping[str, int]) -> dict[str, Any]:
        """The rule for the core, with the places of `rows`."""


class SGD:
    """Gradient descent: v = momentum * v - rate * gradient, w = w + v.

    `rate` is a number, or (N,) of them, one for each net. Within a sequence it is multiplied by `decay` after each
    step, and starts afresh with the next one (Gers, Schmidhuber & Cummins, 2000). Raises ValueError for a rate below 0,
    a momentum outside of 0 to 1, or a decay outside of 0 to 1.

    >>> SGD(0.5, momentum=0.9)
    SGD(0.5, momentum=0.9, decay=1.0)
    """

    at_once_only = False

    def __init__(self, rate: float | Tensor, momentum: float = 0.0, decay: float = 1.0):
        given = torch.as_tensor(rate, dtype=torch.float64)
        if given.dim() > 1 or not bool((given >= 0).all()) or not bool(given.isfinite().all()):
            raise ValueError(f"SGD: rate is {rate!r}, expected a number from 0 on, or (N,) of them.")
        if not isinstance(momentum, numbers.Real) or not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum is {momentum!r}, expected a number from 0, below 1.")
        if not isinstance(decay, numbers.Real) or not 0 < decay <= 1 or math.isnan(decay):
            raise ValueError(f"SGD: decay is {decay!r}, expected a number above 0, at most 1.")
        self.rate: float | Tensor = rate
        self.momentum: float = float(momentum)
        self.decay: float = float(decay)

    def rates(self, nets: int) -> Tensor:
        """The learning rate of each net (N,). Raises ValueError for another number of them."""
        given = torch.as_tensor(self.rate, dtype=torch.float64)
        if given.dim() and len(given) != nets:
            raise ValueError(f"SGD: {len(given)} rates were given for {nets} nets, expected one, or one for each.")
        return given.expand(nets).clone()

    def rows(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The velocity of each weight, with momentum."""
        return {"velocity": torch.zeros(sum(map(math.prod, shapes.values())))} if self.momentum else {}

    def data(self, cell: Cell, shapes: Mapping[str, tuple[int, ...]], places: Mapping[str, int]) -> dict[str, Any]:
        """The rule for the core."""
        return {
            "name": "sgd",
            "momentum": self.momentum,
            "decay": self.decay,
            "velocity": places.get("velocity", -1),
        }

    def __repr__(self) -> str:
        return f"SGD({self.rate!r}, momentum={self.momentum}, decay={self.decay})"
