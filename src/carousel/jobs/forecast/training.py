"""Training of the network: `carousel.train` with what a forecast wants of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from carousel.jobs import JobError
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.windows import Batch, WindowSet
from carousel.train import Batches, ClipNorm, Lesson, Order, Patience, Progress, Shuffle, TrainingError, fit, loggers

LEAST_STEPS, MOST_WINDOWS = 32, 20_000  # an epoch: few windows are walked through more than once, many in part
AVERAGING = 0.99


def train(
    network: Network,
    training: WindowSet,
    validation: WindowSet,
    *,
    epochs: int,
    patience: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    folder: Path | None,
    resume: bool,
    console: Console | None,
    strategy: str = "auto",
    devices: str | int = 1,
) -> dict[str, Any]:
    """Train the network in place; what is left in it is the best average. Returns what happened.

    Raises:
        JobError: the checkpoint to resume from is damaged, the strategy will not do, or the loss is not finite.
        KeyboardInterrupt: the user stopped it; with a folder the last epoch's checkpoint stands there.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.01)
    lesson = Lesson(network, Network.loss, optimizer, clip=ClipNorm(1.0), average=AVERAGING)
    length = max(LEAST_STEPS, -(-min(len(training), MOST_WINDOWS) // batch_size))
    try:
        history, best = fit(
            lesson,
            Batches(training, Shuffle(len(training), batch_size, seed, length), collate=_as_it_is),
            Batches(validation, Order(len(validation), 1024), collate=_as_it_is),
            epochs=epochs,
            stop=Patience(patience),
            folder=None if folder is None else folder / "checkpoints",
            resume=resume,
            progress=Progress(console),
            loggers=() if folder is None else loggers(folder / "logs"),
            strategy=strategy,
            devices=devices,
        )
    except (TrainingError, FloatingPointError) as error:
        raise JobError(str(error)) from None
    return {
        "epochs": len(history) - 1,
        "best_epoch": history.index(best),
        "validation_loss": best["validation_loss"],
        "validation_loss_without_network": history[0]["validation_loss"],
    }


def _as_it_is(batch: Batch) -> Batch:
    return batch
