"""Items of a data set, fetched in an order and put together in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from carousel.train.order import Order
from carousel.train.source import Source, generator


class Batches(Source):
    """The items of a data set in the batches that an `Order` gives.

    Args:
        data: whatever `torch.utils.data.DataLoader` takes: `data[k]` is an item; with `__getitems__`, a batch.
        order: which come together, and when: `Order` (as they stand), `Shuffle` or `Buckets`.
        collate: makes a batch of a list of items; None stacks them as PyTorch does.
        workers: processes that fetch; 0 fetches in this one. What items draw at random in them, such as noise, is
            found again after a break between epochs, not within one.

    >>> import torch
    >>> from carousel.train.order import Shuffle
    >>> data = torch.arange(6).float()
    >>> [len(batch) for batch in Batches(data, Shuffle(6, batch_size=4, seed=0))]
    [4, 2]
    """

    def __init__(self, data: Any, order: Order, collate: Callable | None = None, workers: int = 0):
        self.data, self.order, self.collate, self.workers = data, order, collate, workers

    def __len__(self) -> int:
        return len(self.order)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch from number `start` on."""
        self.order.set_epoch(epoch)
        # a generator of its own, or each new iterator would draw from the global one
        loader: DataLoader = DataLoader(
            self.data,
            batch_sampler=list(self.order)[start:],
            collate_fn=self.collate,
            num_workers=self.workers,
            generator=generator(epoch, start),
        )
        return iter(loader)
