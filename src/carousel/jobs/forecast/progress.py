"""The bar that shows how far training is."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich import progress as rich_progress
from rich.console import Console


class Progress:
    """One bar over all epochs, with the validation loss beside it; silent without a console.

    Where the console is no terminal, it prints a line when the validation loss improves.
    """

    def __init__(self, epochs: int, console: Console | None):
        self.epochs, self.console, self.batches = epochs, console, 1
        self.text = ""
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.console is not None and self.console.is_terminal:
            self.bar = rich_progress.Progress(
                rich_progress.TextColumn("training"),
                rich_progress.BarColumn(),
                rich_progress.TextColumn("{task.description}"),
                rich_progress.TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.task = self.bar.add_task("", total=self.epochs)
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def start_epoch(self, epoch: int, batches: int) -> None:
        """Epoch ``epoch`` (from 0) begins."""
        self.batches = max(1, batches)
        if self.bar is not None:
            self.bar.update(self.task, completed=epoch, description=f"epoch {epoch + 1} of {self.epochs}{self.text}")

    def step(self) -> None:
        """A batch is done."""
        if self.bar is not None:
            self.bar.advance(self.task, 1 / self.batches)

    def end_epoch(self, epoch: int, loss: float, best: float, best_epoch: int) -> None:
        """Epoch ``epoch`` (from 1) is done."""
        self.text = f", validation loss {loss:.4f}, best {best:.4f} at epoch {best_epoch}"
        if self.console is not None and not self.console.is_terminal and epoch == best_epoch:
            self.console.print(f"epoch {epoch}: validation loss {loss:.4f}, the best so far", highlight=False)
