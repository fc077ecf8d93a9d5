"""`fit`: training from beginning to end, or from where it was cut off."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lightning import pytorch as pl
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from carousel.train.checkpoints import CHECKPOINT, SafeIO
from carousel.train.errors import TrainingError
from carousel.train.keeper import Keeper, Row
from carousel.train.lesson import Lesson
from carousel.train.progress import Progress
from carousel.train.rounds import Examination, Rounds
from carousel.train.source import as_source


class Outcome(NamedTuple):
    """What happened: a row for what was untrained and for each round, and which row's weights the model has now.

    A row holds "update", "epoch", "train_loss" (not in the first) and, with validation, "validation_loss" or the
    score's names after "validation_".
    """

    history: list[Row]
    best: Row


def fit(
    lesson: Lesson,
    training: Any,
    validation: Any = None,
    *,
    epochs: int | None = None,
    updates: int | None = None,
    every: int | None = None,
    stop: Callable[[list[Row]], bool] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    loggers: Sequence[Any] = (),
    strategy: str = "auto",
    devices: str | int = 1,
    num_nodes: int = 1,
    accelerator: str = "cpu",
) -> Outcome:
    """Train the lesson's model in place; with validation, what is left in it are the best weights.

    Validation looks, and a checkpoint is written, at the end of each round: an epoch, or `every` updates.

    Args:
        training: a `Source` (`Batches`, `Chunks`, `Generated`), or a list of batches.
        validation: likewise.
        epochs, updates: how long, one of them.
        every: how many updates make a round; None for an epoch.
        stop: `stop(history)` says after each round whether to stop; such as `Patience(8)`.
        folder: where the checkpoint is written; without one nothing is written, and nothing can be resumed.
        resume: go on from the checkpoint in `folder`, to the same bits; where there is none yet, begin.
        progress: where to show how far it is.
        loggers: Lightning's, such as those of `carousel.train.loggers(folder)`.
        strategy, devices, num_nodes, accelerator: Lightning's.

    Raises:
        TrainingError: the checkpoint is damaged or does not belong here, or Lightning refuses the strategy.
        TypeError, ValueError: arguments that do not fit together.
        FloatingPointError: the loss is not finite.
        KeyboardInterrupt: the user stopped it; with a folder, the last round's checkpoint stands there.

    >>> import torch
    >>> from carousel.train import Generated
    >>> model = torch.nn.Linear(2, 1)
    >>> def loss(model, x):
    ...     return ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
    >>> lesson = Lesson(model, loss, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> batches = Generated(lambda generator: torch.randn(8, 2, generator=generator), seed=0)
    >>> outcome = fit(lesson, batches, updates=100, every=50)
    >>> outcome.best["update"], outcome.best["train_loss"] < 0.01
    (100, True)
    """
    source = as_source(training, "training")
    updates, every, in_epochs = _length(source, epochs, updates, every)
    folder = None if folder is None else Path(folder)
    checkpoint = _checkpoint(folder, resume)
    progress = progress or Progress(None)
    progress.plan(updates, every, in_epochs)
    keeper = Keeper(updates, stop, folder, progress)
    exams = None if validation is None else Examination(as_source(validation, "validation"))
    with _quiet(), progress:
        where = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "strategy": strategy}
        trainer = _trainer(keeper, list(loggers), where)
        try:
            trainer.fit(lesson, Rounds(source, every), exams, ckpt_path=checkpoint)
        except SystemExit:
            if keeper.interrupted:
                raise KeyboardInterrupt from None
            raise
    if keeper.weights:
        lesson.model.load_state_dict(keeper.weights)
    return Outcome(keeper.history, keeper.history[keeper.best])


def _length(source: Any, epochs: int | None, updates: int | None, every: int | None) -> tuple[int, int, bool]:
    """How many updates in all, how many in a round, and whether rounds are epochs."""
    if (epochs is None) == (updates is None):
        raise TypeError(f"fit: epochs is {epochs} and updates is {updates}, expected one of the two.")
    for name, value in (("epochs", epochs), ("updates", updates), ("every", every)):
        if value is not None and value < 1:
            raise ValueError(f"fit: {name} is {value}, expected at least 1.")
    try:
        length = len(source)
    except TypeError:
        if epochs is not None or every is None:
            raise TypeError("fit: the training data have no length; give updates and every.") from None
        length = every
    if length < 1:
        raise ValueError("fit: the training data hold no batch.")
    return updates or length * (epochs or 0), every or length, every is None


def _checkpoint(folder: Path | None, resume: bool) -> str | None:
    """The checkpoint to go on from, if there is one."""
    if folder is None:
        if resume:
            raise TypeError("fit: resume needs the folder in which training was cut off.")
        return None
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    if not resume:
        raise TrainingError(f"{folder} holds a checkpoint; resume, or choose another folder.")
    return str(path)


def loggers(folder: str | Path) -> list[Any]:
    """Lightning's loggers for `fit`, which write CSV and TensorBoard files in `folder`.

    >>> import tempfile
    >>> [type(one).__name__ for one in loggers(tempfile.mkdtemp())]
    ['CSVLogger', 'TensorBoardLogger']
    """
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    return [CSVLogger(folder, name="csv"), TensorBoardLogger(folder, name="tensorboard")]


def _trainer(keeper: Keeper, loggers: list[Any], where: dict[str, Any]) -> pl.Trainer:
    try:
        return pl.Trainer(
            **where,
            max_epochs=-1,
            logger=loggers,
            callbacks=[keeper],
            plugins=[SafeIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=keeper.folder,
            log_every_n_steps=10,
        )
    except (ValueError, TypeError, MisconfigurationException) as error:
        told = str(error).split(". ")[0]
        given = f"strategy {where['strategy']!r} on {where['devices']} devices"
        raise TrainingError(f"{given}: Lightning says: {told}.") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's own remarks are about choices made here on purpose; errors come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    interrupt = signal.getsignal(signal.SIGINT)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)  # Lightning leaves Ctrl-C ignored
