"""`Keeper`: the best weights, when to stop, and checkpoints that a killed run continues bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import pytorch as pl
from torch import Tensor

from carousel.train.checkpoints import CHECKPOINT
from carousel.train.lesson import Lesson
from carousel.train.processes import gathered, own, random_state, set_random_state, total, world
from carousel.train.progress import Progress
from carousel.train.rounds import Rounds

Row = dict[str, float]


class Keeper(pl.Callback):
    """Looks at the end of each round: keeps the best weights, stops, and writes a checkpoint.

    Its state holds the random states of all processes and the place in the data, so that the round after a checkpoint
    draws the same numbers whether or not the run was killed in between.
    """

    def __init__(
        self,
        updates: int,
        stop: Callable[[list[Row]], bool] | None,
        folder: Path | None,
        progress: Progress,
    ):
        self.updates, self.stop, self.folder, self.progress = updates, stop, folder, progress
        self.history: list[Row] = []
        self.best = -1  # which row of the history, once there is a score
        self.score = ""
        self.weights: dict[str, Tensor] = {}
        self.random: list[Any] = []
        self.place: dict[str, int] = {}
        self.interrupted = False

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, which load with ``weights_only=True``."""
        names = ("history", "best", "score", "weights", "random", "place")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Before the first update, what is untrained is examined; or a checkpoint's place is found again."""
        rounds: Rounds = trainer.train_dataloader  # type: ignore[assignment]
        if self.random:
            rounds.load_state_dict(self.place)
        else:
            if rank := world()[0]:
                torch.manual_seed(torch.initial_seed() + rank)  # or all would drop the same units
            self._look({"update": 0, "epoch": 0, **_examined(lesson, trainer.val_dataloaders)}, lesson)
            self.random = gathered(random_state())
        self._stop_if_done(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Start the round from the random state that the last checkpoint holds."""
        set_random_state(own(self.random))
        self.progress.start(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Move the bar; the last round may be shorter."""
        self.progress.step()
        if trainer.global_step >= self.updates:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Compare, decide, and write it all down."""
        rounds: Rounds = trainer.train_dataloader  # type: ignore[assignment]
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        found["train_loss"] = lesson.train_loss()
        lesson.log("train_loss", found["train_loss"], sync_dist=True)
        self._look({"update": trainer.global_step, "epoch": rounds.epoch, **found}, lesson)
        self._stop_if_done(trainer)
        self.progress.look(self.history, self.best, self.score)
        self.random, self.place = gathered(random_state()), rounds.state_dict()
        if self.folder is not None:
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def on_exception(self, trainer: pl.Trainer, lesson: Any, exception: BaseException) -> None:
        """Lightning turns Ctrl-C into an exit; remember that it was one."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)

    def _look(self, row: Row, lesson: Lesson) -> None:
        """Note the row, and keep the weights if it is the best; the first score decides."""
        self.history.append(row)
        self.score = self.score or next((name for name in row if name.startswith("validation_")), "")
        if self.score and (self.best < 0 or row[self.score] < self.history[self.best][self.score]):
            self.best = len(self.history) - 1
            weights = lesson.examined.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def _stop_if_done(self, trainer: pl.Trainer) -> None:
        if self.history[-1]["update"] >= self.updates or (self.stop is not None and self.stop(self.history)):
            trainer.should_stop = True


class Patience:
    """Stops when this many rounds in a row were no better than the best before.

    >>> rows = [{"validation_loss": value} for value in (3.0, 2.0, 2.5, 2.0)]
    >>> Patience(2)(rows), Patience(3)(rows)
    (True, False)
    """

    def __init__(self, rounds: int):
        if rounds < 1:
            raise ValueError(f"Patience: rounds is {rounds}, expected at least 1.")
        self.rounds = rounds

    def __call__(self, history: list[Row]) -> bool:
        """Whether to stop."""
        score = next(name for name in history[0] if name.startswith("validation_"))
        values = [row[score] for row in history]
        return len(values) - 1 - values.index(min(values)) >= self.rounds


def _examined(lesson: Lesson, batches: Any) -> Row:
    """The scores of what is untrained."""
    sums: dict[str, Tensor] = {}
    modes = [(module, module.training) for module in lesson.modules()]
    lesson.eval()
    with torch.no_grad():
        for number, batch in enumerate(() if batches is None else batches):
            batch = lesson.transfer_batch_to_device(batch, lesson.device, 0)
            for name, (sum_, count) in lesson.examine(batch, number).items():
                weight = float(count)
                mean = float(sum_ / count) if weight else 0.0
                sums[name] = sums.get(name, 0) + torch.tensor([mean * weight, weight], dtype=torch.float64)
    for module, mode in modes:
        module.training = mode
    totals = {name: total(found.to(lesson.device)).tolist() for name, found in sums.items()}
    return {f"validation_{name}": sum_ / count if count else 0.0 for name, (sum_, count) in totals.items()}
