"""What an experiment's function is given: seeds, data, a bar to move, and a place to keep the state of a long trial."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from carousel.jobs import JobError

Trial = dict[str, Any]  # numbers by name, and curves as lists of (x, y)


class Work:
    """The trials of one setting that run together.

    Args:
        seeds: one a trial; all that is random in a trial follows from its seed.
        folder: for this work alone, kept until its trials are finished; a net's own checkpoints may lie there too.
        data: the folder of data sets, if one was given.
        report: called with the share of the work that is done, from 0 to 1, and a few words.

    >>> import tempfile
    >>> work = Work([0, 1], Path(tempfile.mkdtemp()))
    >>> work.load() is None
    True
    >>> work.save({"step": 3, "weights": torch.ones(2)})
    >>> work.load()
    {'step': 3, 'weights': tensor([1., 1.])}
    """

    def __init__(
        self,
        seeds: Sequence[int],
        folder: Path,
        data: Path | None = None,
        report: Callable[[float, str], None] | None = None,
    ):
        self.seeds, self.folder, self.data, self._report = tuple(seeds), folder, data, report

    @property
    def seed(self) -> int:
        """The only seed, where trials run one by one."""
        (seed,) = self.seeds
        return seed

    def progress(self, done: float, says: str = "") -> None:
        """Say how much of the work is done, from 0 to 1, and how it stands."""
        if self._report is not None:
            self._report(min(max(done, 0.0), 1.0), says)

    def part(self, name: str, begin: float, end: float) -> Work:
        """A piece of the work with a folder of its own, which is done when the share `end` of the whole is."""
        return Work(
            self.seeds,
            self.folder / name,
            self.data,
            lambda done, says: self.progress(begin + done * (end - begin), f"{name}: {says}" if says else name),
        )

    def file(self, name: str) -> Path:
        """A file of the data sets, relative to ``--data``.

        Raises:
            JobError: there is no such file, or no folder was given.
        """
        return find(self.data, name)

    def save(self, state: dict[str, Any]) -> None:
        """Keep tensors, numbers and texts, nested in dictionaries and lists, in place of what was kept before.

        Written beside and then renamed, so that a kill leaves the one or the other.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "state.unfinished"
        torch.save(state, unfinished)
        os.replace(unfinished, self.folder / "state.pt")

    def load(self) -> dict[str, Any] | None:
        """What was kept before the run was interrupted, or None.

        Raises:
            JobError: the file is damaged.
        """
        path = self.folder / "state.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, weights_only=True)
        except Exception as error:  # whatever a damaged file makes PyTorch raise
            raise JobError(
                f"{path} cannot be read ({type(error).__name__}); remove it, and its trials begin anew."
            ) from None


def find(data: Path | None, name: str) -> Path:
    """The file ``name`` of the folder of data sets. Raises JobError where there is none."""
    if data is None:
        raise JobError(f"this experiment reads {name}: give the folder that holds it with --data DIR.")
    if not (data / name).is_file():
        raise JobError(f"--data {data}: there is no {name} in it, which this experiment reads.")
    return data / name
