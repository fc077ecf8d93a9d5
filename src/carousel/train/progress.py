"""The bar that shows how far training is."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich import progress as rich_progress
from rich.console import Console


class Progress:
    """One bar over all updates, with the score of the last round beside it; silent without a console.

    Where the console is no terminal, it prints a line when the score is the best so far.
    """

    def __init__(self, console: Console | None, title: str = "training"):
        self.console, self.title = console, title
        self.text = ""
        self.bar: Any = None

    def plan(self, updates: int, every: int, epochs: bool) -> None:
        """How many updates there will be, in rounds of `every`, and whether these are epochs."""
        self.updates, self.every, self.epochs = updates, every, epochs

    def __enter__(self) -> Progress:
        if self.console is not None and self.console.is_terminal:
            self.bar = rich_progress.Progress(
                rich_progress.TextColumn(self.title),
                rich_progress.BarColumn(),
                rich_progress.TextColumn("{task.description}"),
                rich_progress.TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.task = self.bar.add_task("", total=self.updates)
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def start(self, update: int) -> None:
        """A round begins, after `update` updates."""
        if self.bar is not None:
            self.bar.update(self.task, completed=update, description=self._place(update) + self.text)

    def step(self) -> None:
        """An update is done."""
        if self.bar is not None:
            self.bar.advance(self.task, 1)

    def look(self, history: list[dict[str, float]], best: int, score: str) -> None:
        """A round is done: the rows of all of them, which is the best, and by what."""
        row, number = history[-1], len(history) - 1
        score = score or "train_loss"
        what = score.replace("_", " ")
        self.text = f", {what} {row[score]:.4f}"
        if best >= 0:
            self.text += f", best {history[best][score]:.4f} at {self._name(history[best], best)}"
        if self.console is not None and not self.console.is_terminal and number == best:
            told = f"{self._name(row, number)}: {what} {row[score]:.4f}, the best so far"
            self.console.print(told, highlight=False)

    def _name(self, row: dict[str, float], number: int) -> str:
        return f"epoch {number}" if self.epochs else f"update {row['update']:.0f}"

    def _place(self, update: int) -> str:
        if self.epochs:
            return f"epoch {update // self.every + 1} of {self.updates // self.every}"
        return f"update {update} of {self.updates}"
