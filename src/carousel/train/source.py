"""What a trainer walks through: epochs of batches, any of which can be found again."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from carousel.train.errors import TrainingError
from carousel.train.processes import world


class Source(ABC):
    """Epochs of batches. Where there are several processes, each is given its part of every batch."""

    epoch = 0
    batch_sampler = None  # Lightning asks every loader

    @abstractmethod
    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch from number `start` on; the same ones each time."""

    @property
    def sampler(self) -> Source:
        """Where Lightning's Trainer, given a source, looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Which epoch `iter` gives."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        return self.walk(self.epoch, 0)


class Repeated(Source):
    """Batches that stand ready in a list, or come from a loader that gives the same ones in each epoch."""

    def __init__(self, batches: Iterable[Any]):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches as they come. Raises TrainingError where there are several processes."""
        if world()[1] > 1:
            raise TrainingError(
                "batches that stand ready cannot be shared among processes; use carousel.train.Batches."
            )
        return itertools.islice(iter(self.batches), start, None)


class Generated(Source):
    """Batches that a function makes, each from random numbers of its own, so that none needs to be stored.

    Args:
        make: `make(generator)` gives a batch, from the numbers of a `torch.Generator` alone.
        seed: which batches these are.
        length: how many make an epoch; None for one endless epoch, in which no batch returns.

    >>> numbers = Generated(lambda generator: torch.rand(2, generator=generator), seed=1, length=3)
    >>> torch.equal(next(numbers.walk(0, 2)), list(numbers)[2])
    True
    """

    def __init__(self, make: Callable[[torch.Generator], Any], seed: int, length: int | None = None):
        self.make, self.seed, self.length = make, seed, length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("Generated: an endless epoch has no length.")
        return self.length

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch. Raises TrainingError where there are several processes."""
        if world()[1] > 1:
            raise TrainingError("generated batches cannot be shared among processes; train with one.")
        for number in itertools.count(start) if self.length is None else range(start, self.length):
            yield self.make(generator(self.seed, epoch, number))


def generator(*seeds: int) -> torch.Generator:
    """Random numbers that these whole numbers decide together."""
    word = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word) >> 1)


def as_source(batches: Any, name: str) -> Source:
    """A source as it is, and whatever gives the same batches each time as one.

    Raises:
        TypeError: it gives no batches, or a `DataLoader` gives them in another order each time.
    """
    if isinstance(batches, Source):
        return batches
    if isinstance(getattr(batches, "sampler", None), torch.utils.data.RandomSampler):
        raise TypeError(
            f"{name} is a DataLoader that shuffles, whose order cannot be found again after a break; give "
            f"carousel.train.Batches(data, carousel.train.Shuffle(len(data), batch_size, seed))."
        )
    if not hasattr(batches, "__iter__") or hasattr(batches, "__next__"):
        raise TypeError(
            f"{name} is a {type(batches).__name__}, expected batches that can be walked through repeatedly."
        )
    return Repeated(batches)
