"""Sequences one after the other, as a trial draws them, and those of several trials side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.generic]


class Sequences(NamedTuple):
    """Some sequences of one trial, S steps in all.

    Attributes:
        inputs: (S, D) numbers, or (S,) integers: the index of the one 1, -1 for all zeros.
        targets: (S, K) numbers or (S,) integers, one a step; or one a sequence, where only its last step has a target.
        lengths: (k,) the number of steps of each.
    """

    inputs: Array
    targets: Array
    lengths: NDArray[np.int64]

    @property
    def ends(self) -> NDArray[np.int64]:
        """(k,) the index of each one's last step."""
        return np.cumsum(self.lengths) - 1

    @property
    def starts(self) -> NDArray[np.int64]:
        """(k,) the index of each one's first step."""
        return self.ends - self.lengths + 1

    @property
    def only_at_ends(self) -> bool:
        """Whether targets are one a sequence."""
        return len(self.targets) == len(self.lengths)

    def steps(self, count: int) -> int:
        """How many steps the first ``count`` of the sequences have."""
        return int(self.lengths[:count].sum())

    def errors(self, outputs: Array) -> NDArray[np.float64]:
        """(S, K) how far outputs (S, K) are from the targets; (k, K) where targets are one a sequence."""
        if self.only_at_ends:
            outputs = outputs[self.ends]
        if self.targets.ndim == outputs.ndim:
            return np.abs(self.targets - outputs)
        wrong = np.abs(outputs)
        chosen = np.arange(len(outputs)), self.targets
        wrong[chosen] = np.abs(1 - outputs[chosen])
        return wrong

    def each(self, steps: NDArray[np.float64], how: np.ufunc) -> NDArray[np.float64]:
        """(k,) one number a sequence, from one a step with a target: their sum, or the largest."""
        return steps if self.only_at_ends else how.reduceat(steps, self.starts)


class Together(NamedTuple):
    """The sequences of N trials side by side, as `carousel.Online` takes them: T steps, each trial its own lengths."""

    inputs: Tensor
    targets: Tensor
    when: Tensor | None
    starts: Tensor
    lengths: Tensor


def together(trials: Sequence[Sequences | None]) -> Together:
    """Put those of each trial beside each other; a trial with None takes no step.

    >>> one = Sequences(np.array([0, 1, 2]), np.array([1, 0]), np.array([1, 2]))
    >>> beside = together([one, None])
    >>> beside.inputs.tolist(), beside.lengths.tolist()
    ([[0, -1], [1, -1], [2, -1]], [3, 0])
    >>> beside.when[:, 0].tolist(), beside.starts[:, 0].tolist()
    ([True, False, True], [True, True, False])
    """
    model = next(trial for trial in trials if trial is not None)
    lengths = np.array([0 if trial is None else len(trial.inputs) for trial in trials])
    shape = (int(lengths.max()), len(trials))
    inputs = _room(model.inputs, shape)
    targets = _room(model.targets, shape)
    starts, when = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for n, trial in enumerate(trials):
        if trial is not None:
            inputs[: lengths[n], n] = trial.inputs
            targets[trial.ends if trial.only_at_ends else slice(lengths[n]), n] = trial.targets
            starts[trial.starts, n] = True
            when[trial.ends, n] = True
    return Together(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        torch.from_numpy(when) if model.only_at_ends else None,
        torch.from_numpy(starts),
        torch.from_numpy(lengths),
    )


def _room(like: Array, shape: tuple[int, int]) -> Array:
    """Zeros for numbers, -1 for indices."""
    if like.dtype.kind == "i":
        return np.full(shape, -1, dtype=np.int64)
    return np.zeros((*shape, like.shape[1]))
