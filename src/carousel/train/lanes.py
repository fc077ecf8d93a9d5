"""Sequences of any length, side by side in lanes, in chunks of a few steps.

Legend: T time, B batch (lanes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from carousel.train.chunks import Chunk, as_tensor
from carousel.train.processes import share
from carousel.train.source import Source, generator

Piece = tuple[Tensor, Tensor, bool]  # x (t, ...), target (t, ...), whether a sequence begins with it


class Lanes(Source):
    """Reads `batch_size` sequences side by side, `steps` at a time; a lane whose sequence ends goes on with the next.

    So no step is padded but at the end of an epoch, and states start afresh where sequences begin (Sak et al., 2014,
    arXiv:1402.1128). Only the sequences at hand are in memory. To find a place in the midst of an epoch again, what
    came before is read again. How many chunks make an epoch is not known beforehand: train for a number of updates.

    Args:
        sequences: pairs x (T, ...), target (T, ...), arrays or tensors. Whatever gives the same ones each time that it
            is walked through: a list, a data set, an object that reads files as it goes.
        batch_size: B, how many lanes, over all processes.
        steps: T, how many steps a chunk has.
        seed: shuffles the sequences anew in each epoch, which takes `len(sequences)` and `sequences[k]`.

    >>> sequences = [(torch.full((length,), length), torch.zeros(length)) for length in (5, 2, 3, 1)]
    >>> for chunk in Lanes(sequences, batch_size=2, steps=3):
    ...     print(chunk.x.T.tolist(), chunk.resets.int().T.tolist(), int(chunk.counts.sum()))
    [[5, 5, 5], [2, 2, 3]] [[1, 0, 0], [1, 0, 1]] 6
    [[5, 5, 1], [3, 3, 0]] [[0, 0, 1], [0, 0, 0]] 5
    """

    def __init__(self, sequences: Iterable[Any], *, batch_size: int, steps: int, seed: int | None = None):
        if batch_size < 1 or steps < 1:
            raise ValueError(f"Lanes: batch_size is {batch_size} and steps {steps}, expected at least 1.")
        if hasattr(sequences, "__next__"):
            raise TypeError(
                f"Lanes: sequences is a {type(sequences).__name__}, which can be walked through only once; give an "
                f"object whose __iter__ begins anew."
            )
        self.sequences, self.batch_size, self.steps, self.seed = sequences, batch_size, steps, seed

    def walk(self, epoch: int, start: int) -> Iterator[Chunk]:
        """The chunks of an epoch from number `start` on."""
        return itertools.islice(self._chunks(epoch), start, None)

    def _chunks(self, epoch: int) -> Iterator[Chunk]:
        queue = self._queue(epoch)
        lanes = [_Lane(queue) for _ in range(self.batch_size)]
        while True:
            taken = [lane.take(self.steps) for lane in lanes]
            length = max(sum(len(x) for x, _, _ in pieces) for pieces in taken)
            if length == 0:
                return
            yield _side_by_side(share(taken), next(pieces[0] for pieces in taken if pieces), length)

    def _queue(self, epoch: int) -> Iterator[Any]:
        if self.seed is None:
            return iter(self.sequences)
        sequences: Any = self.sequences
        order = torch.randperm(len(sequences), generator=generator(self.seed, epoch))
        return (sequences[k] for k in order.tolist())


class _Lane:
    """What is left of the sequence in one lane, and where the next comes from."""

    def __init__(self, queue: Iterator[Any]):
        self.queue = queue
        self.rest: Piece | None = None

    def take(self, steps: int) -> list[Piece]:
        """The next pieces, `steps` long together, or less where nothing is left."""
        pieces: list[Piece] = []
        while steps and (self.rest or self._next()):
            assert self.rest
            x, target, begins = self.rest
            pieces.append((x[:steps], target[:steps], begins))
            self.rest = (x[steps:], target[steps:], False) if len(x) > steps else None
            steps -= len(pieces[-1][0])
        return pieces

    def _next(self) -> bool:
        for x, target in self.queue:
            if len(x) != len(target):
                raise ValueError(f"Lanes: a sequence has {len(x)} steps but {len(target)} targets.")
            if len(x):
                self.rest = as_tensor(x), as_tensor(target), True
                return True
        return False


def _side_by_side(lanes: list[list[Piece]], example: Piece, length: int) -> Chunk:
    shape = (length, len(lanes))
    x, target = (like.new_zeros(*shape, *like.shape[1:]) for like in example[:2])
    resets, counts = (torch.zeros(shape, dtype=torch.bool) for _ in range(2))
    for lane, pieces in enumerate(lanes):
        t = 0
        for own_x, own_target, begins in pieces:
            end = t + len(own_x)
            x[t:end, lane], target[t:end, lane] = own_x, own_target
            resets[t, lane], counts[t:end, lane] = begins, True
            t = end
    return Chunk(x, target, resets, counts)
