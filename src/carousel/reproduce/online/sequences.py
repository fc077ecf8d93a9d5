"""Sequences one after the other, as a trial draws them, and those of several trials side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


class Sequences(NamedTuple):
    """Some sequences of one trial, S steps in all.

    Attributes:
        inputs: (S, D) numbers, or (S,) integers: the index of the one 1, -1 for all zeros.
        targets: (S, K) numbers or (S,) integers, one a step; or one a sequence, where only its last step has a target.
        lengths: (k,) the number of steps of each.
    """

    inputs: Array
    targets: Array
    lengths: Indices

    @property
    def ends(self) -> Indices:
        """(k,) the index of each one's last step."""
        return np.cumsum(self.lengths) - 1

    @property
    def starts(self) -> Indices:
        """(k,) the index of each one's first step."""
        return self.ends - self.lengths + 1

    @property
    def only_at_ends(self) -> bool:
        """Whether targets are one a sequence."""
        return len(self.targets) == len(self.lengths)

    def first(self, count: int) -> Sequences:
        """The first ``count`` of the sequences."""
        steps = int(self.lengths[:count].sum())
        targets = self.targets[: count if self.only_at_ends else steps]
        return Sequences(self.inputs[:steps], targets, self.lengths[:count])

    def errors(self, outputs: Numbers) -> Numbers:
        """How far outputs are from the targets, both (S, K), or (k, K) where targets are one a sequence."""
        if self.targets.ndim == outputs.ndim:
            return np.abs(self.targets - outputs)
        wrong = np.abs(outputs)
        chosen = np.arange(len(outputs)), self.targets
        wrong[chosen] = np.abs(1 - outputs[chosen])
        return wrong

    def each(self, errors: Numbers, how: np.ufunc) -> Numbers:
        """(k,) one number a sequence, from one for each target: their sum, or the largest."""
        return errors if self.only_at_ends else how.reduceat(errors, self.starts)


class Together(NamedTuple):
    """The sequences of N trials side by side, as `carousel.Online` takes them: T steps, each trial its own lengths.

    Where targets are at the ends of sequences alone, the trials' sequences end at the same steps, which costs least.
    `rows` are the steps at which each trial has targets.
    """

    inputs: Tensor
    targets: Tensor
    when: Tensor | None
    starts: Tensor
    lengths: Tensor
    rows: list[Indices]

    def outputs(self, y: Tensor, trial: int) -> Numbers:
        """Those of the outputs y (T, N, K) that have a target, of one trial."""
        return y.numpy()[self.rows[trial], trial]


def together(trials: Sequence[Sequences | None]) -> Together:
    """Put those of each trial beside each other; a trial with None takes no step.

    >>> one = Sequences(np.array([0, 1, 2]), np.array([1, 0]), np.array([1, 2]))
    >>> two = Sequences(np.array([3, 4, 5]), np.array([0, 1]), np.array([2, 1]))
    >>> beside = together([one, two, None])
    >>> beside.inputs.T.tolist(), beside.lengths.tolist()
    ([[-1, 0, 1, 2], [3, 4, -1, 5], [-1, -1, -1, -1]], [4, 4, 0])
    >>> beside.when.T.tolist()[0], beside.starts.T.tolist()[0]
    ([False, True, False, True], [False, True, True, False])
    """
    present = [(n, trial) for n, trial in enumerate(trials) if trial is not None]
    model = present[0][1]
    slots = np.cumsum(_longest([trial.lengths for _, trial in present])) - 1  # where sequences end, if all end together
    placed = {n: _placed(trial, slots) if model.only_at_ends else np.arange(len(trial.inputs)) for n, trial in present}
    shape = (1 + max(int(places[-1]) for places in placed.values()), len(trials))
    inputs, targets = _room(model.inputs, shape), _room(model.targets, shape)
    starts, when, lengths = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), np.zeros(len(trials), np.int64)
    rows: list[Indices] = [np.zeros(0, np.int64)] * len(trials)
    for n, trial in present:
        places = placed[n]
        rows[n] = places[trial.ends] if trial.only_at_ends else places
        inputs[places, n], targets[rows[n], n] = trial.inputs, trial.targets
        starts[places[trial.starts], n], when[rows[n], n], lengths[n] = True, True, places[-1] + 1
    tensor = torch.from_numpy
    marks = tensor(when) if model.only_at_ends else None
    return Together(tensor(inputs), tensor(targets), marks, tensor(starts), tensor(lengths), rows)


def _longest(lengths: list[Indices]) -> Indices:
    """The length of the longest of each trial's first sequences, of its second ones, ..."""
    longest = np.zeros(max(map(len, lengths)), dtype=np.int64)
    for one in lengths:
        longest[: len(one)] = np.maximum(longest[: len(one)], one)
    return longest


def _placed(trial: Sequences, slots: Indices) -> Indices:
    """Where each step comes, when the sequences end at the given steps."""
    return np.arange(len(trial.inputs)) + np.repeat(slots[: len(trial.lengths)] - trial.ends, trial.lengths)


def _room(like: Array, shape: tuple[int, int]) -> Array:
    """Zeros for numbers, -1 for indices."""
    if like.dtype.kind == "i":
        return np.full(shape, -1, dtype=np.int64)
    return np.zeros((*shape, like.shape[1]))
