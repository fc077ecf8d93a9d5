"""Streams longer than memory, read in chunks by B lanes side by side.

Legend: T time, B batch (lanes), N the length of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.train.processes import share
from carousel.train.source import Source


class Chunk(NamedTuple):
    """The next few steps of every lane."""

    x: Tensor  # (T, B, ...)
    target: Tensor  # (T, B, ...)
    resets: Tensor  # (T, B) bool: the state starts afresh before this step; a layer's `resets`
    counts: Tensor  # (T, B) bool: steps that have a target


class Chunks(Source):
    """Cuts one long array into `batch_size` lanes of equal length and reads `steps` of each at a time.

    Nothing but the chunk at hand is read, so the arrays may be memory-mapped files of any length. An epoch walks
    through all lanes once; the states start afresh at its beginning and where `starts` says so. The last chunk of an
    epoch may be shorter; at most `batch_size - 1` steps at the end of the arrays are left out.

    Args:
        x: (N, ...), an array, a `numpy.memmap` or a tensor. Whole numbers come as int64.
        target: (N, ...). For a language model: `Chunks(tokens[:-1], tokens[1:], ...)`.
        batch_size: B, how many lanes, over all processes.
        steps: T, how many steps a chunk has.
        starts: (N,) bool, the steps at which a document begins.

    Raises:
        ValueError: the arrays differ in length or are too short.

    >>> chunk = next(iter(Chunks(np.arange(20), np.arange(1, 21), batch_size=2, steps=3)))
    >>> chunk.x
    tensor([[ 0, 10],
            [ 1, 11],
            [ 2, 12]])
    >>> chunk.resets.any(1)
    tensor([ True, False, False])
    """

    def __init__(self, x: Any, target: Any, *, batch_size: int, steps: int, starts: Any = None):
        lengths = {"x": len(x), "target": len(target), "starts": len(x) if starts is None else len(starts)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Chunks: the arrays have different lengths: {lengths}.")
        if batch_size < 1 or steps < 1:
            raise ValueError(f"Chunks: batch_size is {batch_size} and steps {steps}, expected at least 1.")
        if len(x) < batch_size:
            raise ValueError(f"Chunks: {len(x)} steps are too few for batch_size = {batch_size} lanes.")
        self.x, self.target, self.starts = x, target, starts
        self.batch_size, self.steps = batch_size, steps

    def __len__(self) -> int:
        return -(-(len(self.x) // self.batch_size) // self.steps)

    def walk(self, epoch: int, start: int) -> Iterator[Chunk]:
        """The chunks of an epoch, which are the same in each, from number `start` on."""
        length = len(self.x) // self.batch_size
        lanes = share(list(range(0, length * self.batch_size, length)))
        for t in range(start * self.steps, length, self.steps):
            ranges = [slice(lane + t, lane + min(t + self.steps, length)) for lane in lanes]
            x, target = _read(self.x, ranges), _read(self.target, ranges)
            resets = torch.zeros(x.shape[:2], dtype=torch.bool) if self.starts is None else _read(self.starts, ranges)
            if t == 0:
                resets[0] = True
            yield Chunk(x, target, resets.bool(), torch.ones(x.shape[:2], dtype=torch.bool))


def _read(array: Any, ranges: list[slice]) -> Tensor:
    """(T, B, ...): these ranges of an array, side by side."""
    return torch.stack([as_tensor(array[one]) for one in ranges], dim=1)


def as_tensor(array: Any) -> Tensor:
    """In memory, whole numbers in int64, which is what embeddings and losses read."""
    found = array if isinstance(array, Tensor) else torch.as_tensor(np.array(array))
    return found if found.dtype == torch.bool or found.is_floating_point() else found.long()
