"""Rounds: the updates between two looks at how training goes, on through the epochs of a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from carousel.train.errors import TrainingError
from carousel.train.source import Source


class Rounds:
    """What Lightning takes for an epoch is a round of `every` updates; the next round goes on where it ended.

    So a checkpoint at the end of a round finds its place again in the midst of an epoch, or of a stream without end.
    """

    def __init__(self, source: Source, every: int):
        self.source, self.every = source, every
        self.epoch = self.batch = 0  # epoch of the batch given last, and how many it has given
        self._going: Iterator[Any] | None = None

    def __len__(self) -> int:
        return self.every

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.every):
            batch = self._next()
            self.batch += 1
            yield batch

    def _next(self) -> Any:
        if self._going is None:
            self._going = self.source.walk(self.epoch, self.batch)
        for batch in self._going:
            return batch
        self.epoch, self.batch = self.epoch + 1, 0
        self._going = self.source.walk(self.epoch, 0)
        for batch in self._going:
            return batch
        raise TrainingError("the training data hold no batch.")

    def state_dict(self) -> dict[str, int]:
        """Where it is."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.epoch, self.batch, self._going = state["epoch"], state["batch"], None


class Examination:
    """Validation batches: the first epoch of a source, each time."""

    def __init__(self, source: Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return self.source.walk(0, 0)
