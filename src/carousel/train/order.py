"""Orders in which sequences come together in batches: as they stand, shuffled, or those of similar length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from carousel.train.processes import share, world


class Order(Sampler[list[int]]):
    """Batches of indices, decided by the epoch alone, each shared out among the processes.

    The batch size is that of an update: with two processes, each has half of every batch.
    """

    def __init__(self, count: int, batch_size: int):
        if count < 1 or batch_size < 1:
            raise ValueError(f"{type(self).__name__}: {count} items in batches of {batch_size}, expected at least 1.")
        self.count, self.batch_size, self.epoch = count, batch_size, 0

    @property
    def sampler(self) -> Order:
        """Where Lightning's Trainer, given a `DataLoader` with this batch sampler, looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Which epoch `iter` gives."""
        self.epoch = epoch

    def batches(self, epoch: int) -> list[Tensor]:
        """The indices of each batch, whole."""
        return _parts(torch.arange(self.count), self.batch_size)

    def __len__(self) -> int:
        return len(self.batches(0))

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches(self.epoch):
            yield share(batch.tolist())


class Shuffle(Order):
    """Batches in random order.

    Args:
        count: how many items there are.
        batch_size: how many come together, over all processes.
        seed: decides, with the epoch, the order.
        length: how many batches an epoch has; None for each item once. More walk through the items again.

    >>> order = Shuffle(5, batch_size=2, seed=0)
    >>> sorted(index for batch in order for index in batch)
    [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, batch_size: int, seed: int, length: int | None = None):
        super().__init__(count, batch_size)
        self.seed, self.length = seed, length

    def batches(self, epoch: int) -> list[Tensor]:
        """As many permutations as it takes, cut into batches."""
        generator = _generator(self.seed, epoch)
        batches: list[Tensor] = []
        while len(batches) < len(self):
            batches += _parts(torch.randperm(self.count, generator=generator), self.batch_size)
        return batches[: len(self)]

    def __len__(self) -> int:
        return len(super().batches(0)) if self.length is None else self.length


class Buckets(Order):
    """Batches of sequences of similar length, in random order, so that little is padded.

    In each epoch the sequences are shuffled, `pool` batches at a time are sorted by length and cut, and the batches are
    shuffled. The smaller the pool, the more chance is left in which sequences come together, and the more is padded.

    Args:
        lengths: of the sequences, in steps.
        batch_size: how many come together, over all processes.
        seed: decides, with the epoch, the order.
        pool: how many batches are sorted together.

    >>> order = Buckets([30, 90, 31, 88, 32, 92], batch_size=3, seed=0)
    >>> sorted(sorted(batch) for batch in order)
    [[0, 2, 4], [1, 3, 5]]
    >>> round(order.padding(), 3), round(padding(order.lengths, Shuffle(6, 3, seed=0).batches(0)), 3)
    (0.024, 0.335)
    """

    def __init__(self, lengths: Sequence[int] | Tensor, batch_size: int, seed: int, pool: int = 100):
        self.lengths = torch.as_tensor(lengths)
        super().__init__(len(self.lengths), batch_size)
        if pool < 1:
            raise ValueError(f"Buckets: pool is {pool}, expected at least 1 batch.")
        self.seed, self.pool = seed, pool

    def batches(self, epoch: int) -> list[Tensor]:
        """Shuffled, sorted by pools, cut, and shuffled."""
        generator = _generator(self.seed, epoch)
        mixed = torch.randperm(self.count, generator=generator)
        batches: list[Tensor] = []
        for part in _parts(mixed, self.pool * self.batch_size):
            order = torch.argsort(self.lengths[part], stable=True)
            batches += _parts(part[order], self.batch_size)
        return [batches[k] for k in torch.randperm(len(batches), generator=generator)]

    def padding(self, epoch: int = 0) -> float:
        """The share of steps that are padding."""
        return padding(self.lengths, self.batches(epoch))


def padding(lengths: Sequence[int] | Tensor, batches: list[Tensor]) -> float:
    """The share of steps that are padding, where each of the batches is as long as its longest sequence.

    >>> padding([2, 4], [torch.tensor([0, 1])])
    0.25
    """
    lengths = torch.as_tensor(lengths)
    used = sum(int(lengths[batch].sum()) for batch in batches)
    whole = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return 1 - used / max(whole, 1)


def _parts(indices: Tensor, size: int) -> list[Tensor]:
    """Cut in parts; a last one too small for the processes to share is added to the one before."""
    parts = list(indices.split(size))
    if len(parts) > 1 and len(parts[-1]) < world()[1]:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)
