"""The bar that shows how far an experiment is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich import progress as rich_progress
from rich.console import Console

EVERY = 30.0  # seconds between lines where there is no terminal


class Progress:
    """One bar over all trials, with a few words on the one that runs; silent without a console.

    Where the console is no terminal, it prints a line a setting, and one now and then in between.
    """

    def __init__(self, console: Console | None):
        self.console = console
        self.bar: Any = None
        self.done = self.size = 0
        self.said = time.monotonic()

    def __enter__(self) -> Progress:
        if self.console is not None and self.console.is_terminal:
            self.bar = rich_progress.Progress(
                rich_progress.BarColumn(24),
                rich_progress.TaskProgressColumn(),
                rich_progress.TextColumn("{task.description}", markup=False),
                rich_progress.TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def start(self, trials: int) -> None:
        """So many trials are to run."""
        self.trials = trials
        if self.bar is not None:
            self.task = self.bar.add_task("", total=trials)

    def group(self, setting: str, first: int, count: int, size: int) -> None:
        """The trials from ``first`` on begin, ``size`` of the setting's ``count``."""
        self.done += self.size
        self.size = size
        which = f"trial {first + 1}" if size == 1 else f"trials {first + 1} to {first + size}"
        self.text = f"{setting}: {which} of {count}"
        self.step(0.0, "")

    def step(self, share: float, says: str) -> None:
        """The share of the group that is done."""
        text = self.text + (f", {says}" if says else "")
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done + self.size * share, description=text)
        elif self.console is not None and time.monotonic() - self.said > EVERY:
            self._say(f"{(self.done + self.size * share) / self.trials:.0%}  {text}")

    def finished(self, setting: str, trials: int, seconds: float) -> None:
        """A setting is done."""
        if self.bar is None:
            self._say(f"{setting}: {trials} trial{'s' * (trials != 1)} in {seconds:.1f} s")

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
