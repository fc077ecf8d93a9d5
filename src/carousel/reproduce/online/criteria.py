"""When a trial is done: by the errors of its most recent sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class MostRecent:
    """Met once at most `wrong` of the `window` most recent sequences are wrong and their mean error is small.

    A sequence is wrong when any output is off by `tolerance` or more. One history a trial, N trials.

    >>> criterion = MostRecent(1, window=3, tolerance=0.25)
    >>> criterion.first(np.array([[0.1, 0.3, 0.2]]), np.zeros((1, 3)))  # not yet: one of three was wrong
    [None]
    >>> criterion.first(np.array([[0.1, 0.1, 0.9]]), np.zeros((1, 3)))  # the second of these makes three right ones
    [2]
    """

    def __init__(self, trials: int, window: int, tolerance: float, *, wrong: int = 0, mean: float = math.inf):
        self.window, self.tolerance, self.wrong, self.mean = window, tolerance, wrong, mean
        self.worst, self.means = np.full((trials, window), math.inf), np.zeros((trials, window))
        self.seen = 0

    def first(self, worst: NDArray[np.float64], means: NDArray[np.float64]) -> list[int | None]:
        """After how many of these next sequences each trial meets it, None where it does not.

        Args:
            worst: (N, k) the largest error in each sequence.
            means: (N, k) the mean error of each.
        """
        worst, means = np.hstack([self.worst, worst]), np.hstack([self.means, means])
        self.worst, self.means = worst[:, -self.window :], means[:, -self.window :]
        met = _sums(~(worst < self.tolerance), self.window) <= self.wrong
        met[:, : max(0, self.window - self.seen - 1)] = False
        self.seen += met.shape[1]
        if self.mean < math.inf:
            met &= _sums(means, self.window) < self.mean * self.window
        return [int(row.argmax()) + 1 if row.any() else None for row in met]

    def state(self) -> dict[str, Any]:
        """What to keep in order to go on."""
        return {"worst": torch.tensor(self.worst), "means": torch.tensor(self.means), "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was kept."""
        self.worst, self.means, self.seen = state["worst"].numpy(), state["means"].numpy(), state["seen"]


def _sums(values: NDArray[np.generic], window: int) -> NDArray[np.float64]:
    """The sum of each ``window`` successive values, without the first one: (N, window + k) to (N, k)."""
    total = np.cumsum(values.astype(float), axis=1)
    return total[:, window:] - total[:, :-window]
