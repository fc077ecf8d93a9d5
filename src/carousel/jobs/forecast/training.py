"""Training on Lightning: averaged weights, early stopping, and checkpoints that a killed run continues bit for bit."""

from __future__ import annotations

import logging
import os
import random
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import pytorch as pl
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from carousel.jobs import JobError
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.progress import Progress
from carousel.jobs.forecast.windows import Batch, WindowSet

LEAST_STEPS, MOST_WINDOWS = 32, 20_000  # an epoch: few windows are walked through more than once, many in part
CHECKPOINT = "last.ckpt"
AVERAGING = 0.99


class Lesson(pl.LightningModule):
    """The network, its running average (which is what is validated and kept), and the optimiser."""

    def __init__(self, network: Network, learning_rate: float):
        super().__init__()
        self.network, self.learning_rate = network, learning_rate
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING)).requires_grad_(False)

    @property
    def averaged(self) -> Network:
        """The network with averaged weights."""
        return cast(Network, self.average.module)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch; () scalar."""
        loss = self.network.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.base))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step, after which the average follows."""
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.network)

    def validation_step(self, batch: Batch, _: int) -> None:
        """The averaged network's loss, weighted by how many targets count."""
        loss = self.averaged.loss(batch)
        self.log("validation_loss", loss, sync_dist=True, batch_size=int(batch.weight.sum()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=0.01)


class Order(Sampler[list[int]]):
    """Batches in an order that the seed and the epoch decide, shared out among the processes."""

    def __init__(self, count: int, batch_size: int, seed: int):
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-min(self.count, MOST_WINDOWS) // self.batch_size)
        return max(LEAST_STEPS, batches // _world()[1])

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        rank, size = _world()
        batches: list[Tensor] = []
        while len(batches) < len(self) * size:
            batches += torch.randperm(self.count, generator=generator).split(self.batch_size)
        for number in range(len(self)):
            yield batches[number * size + rank].tolist()


def _world() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


class Keeper(pl.Callback):
    """Keeps the best averaged weights, stops when they no longer improve, and writes a checkpoint an epoch.

    Its state holds the random states of all processes, so that the epoch after a checkpoint draws the same numbers
    whether or not the run was killed in between.
    """

    def __init__(self, patience: int, folder: Path | None, progress: Progress):
        self.patience, self.folder, self.progress = patience, folder, progress
        self.first = self.best = float("inf")
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}
        self.random: list[dict[str, Any]] = []
        self.interrupted = False

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, which load with ``weights_only=True``."""
        return {
            "first": self.first,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "weights": self.weights,
            "random": self.random,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Before the first step the untrained correction, zero, is the best there is."""
        if not self.weights:
            self.first = _loss(lesson.averaged, trainer.val_dataloaders)
            self._keep(self.first, 0, lesson)
            self.random = _all_random_states()
        self._stop_if_stale(trainer, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Start the epoch from the random state that the last checkpoint holds."""
        _set_random_state(self.random[_world()[0] % len(self.random)])
        self.progress.start_epoch(trainer.current_epoch, int(trainer.num_training_batches))

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self.progress.step()

    def on_train_epoch_end(self, trainer: pl.Trainer, lesson: Any) -> None:
        """Compare, decide, and write it all down."""
        epoch, loss = trainer.current_epoch + 1, float(trainer.callback_metrics["validation_loss"])
        if loss < self.best:
            self._keep(loss, epoch, lesson)
        self._stop_if_stale(trainer, epoch)
        self.progress.end_epoch(epoch, loss, self.best, self.best_epoch)
        self.random = _all_random_states()
        if self.folder is not None:
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def on_exception(self, trainer: pl.Trainer, lesson: Any, exception: BaseException) -> None:
        """Lightning turns Ctrl-C into an exit; remember that it was one."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)

    def _keep(self, loss: float, epoch: int, lesson: Any) -> None:
        self.best, self.best_epoch = loss, epoch
        self.weights = {
            name: value.detach().cpu().clone() for name, value in lesson.average.module.state_dict().items()
        }

    def _stop_if_stale(self, trainer: pl.Trainer, epoch: int) -> None:
        if epoch - self.best_epoch >= self.patience:
            trainer.should_stop = True


def _loss(network: Network, loader: Any) -> float:
    total = count = 0.0
    network.eval()
    with torch.no_grad():
        for batch in loader:
            weight = float(batch.weight.sum())
            total, count = total + float(network.loss(batch)) * weight, count + weight
    return total / count


def _all_random_states() -> list[dict[str, Any]]:
    """The random states of Python, NumPy and PyTorch in each process, as numbers and tensors."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    state = {
        "python": [version, list(words), gauss],
        "numpy": [numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *numpy[2:]],
        "torch": torch.get_rng_state(),
    }
    size = _world()[1]
    if size == 1:
        return [state]
    states: list[Any] = [None] * size
    torch.distributed.all_gather_object(states, state)
    return states


def _set_random_state(state: dict[str, Any]) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])


class SafeIO(TorchCheckpointIO):
    """Checkpoints are written whole or not at all, and read as tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside the target, then take its place."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        torch.save(checkpoint, fresh)
        os.replace(fresh, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read it; whoever asks, nothing but tensors and plain values comes out.

        Raises:
            JobError: the file is damaged.
        """
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:
            raise JobError(
                f"{path}: damaged checkpoint ({type(error).__name__}); start again without --resume."
            ) from None


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
    progress: Progress,
    strategy: str = "auto",
    devices: str | int = 1,
) -> dict[str, Any]:
    """Train the network in place; what is left in it is the best average. Returns what happened.

    Raises:
        JobError: there is no checkpoint to resume from, or it is damaged.
        KeyboardInterrupt: the user stopped it; with a folder the last epoch's checkpoint stands there.
    """
    checkpoints = None if folder is None else folder / "checkpoints"
    keeper = Keeper(patience, checkpoints, progress)
    lesson = Lesson(network, learning_rate)
    path = checkpoints / CHECKPOINT if resume and checkpoints is not None else None
    lessons = _loader(training, Order(len(training), batch_size, seed))
    exams = _loader(validation, _Straight(len(validation), 1024))
    with _quiet(), progress:
        trainer = _trainer(keeper, folder, epochs, strategy, devices)
        try:
            trainer.fit(lesson, lessons, exams, ckpt_path=str(path) if path is not None and path.exists() else None)
        except SystemExit:
            if keeper.interrupted:
                raise KeyboardInterrupt from None
            raise
    network.load_state_dict(keeper.weights)
    return {
        "epochs": trainer.current_epoch,
        "best_epoch": keeper.best_epoch,
        "validation_loss": keeper.best,
        "validation_loss_without_network": keeper.first,
    }


class _Straight(Order):
    """All windows in their order; every process sees them all."""

    def __init__(self, count: int, batch_size: int):
        super().__init__(count, batch_size, 0)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for part in torch.arange(self.count).split(self.batch_size):
            yield part.tolist()


def _loader(windows: WindowSet, order: Order) -> DataLoader:
    # a generator of its own, or each new iterator would draw from the global one
    return DataLoader(windows, batch_sampler=order, collate_fn=lambda batch: batch, generator=torch.Generator())


def _trainer(keeper: Keeper, folder: Path | None, epochs: int, strategy: str, devices: str | int) -> pl.Trainer:
    loggers: Any = False
    if folder is not None:
        loggers = [CSVLogger(folder / "logs", name="csv"), TensorBoardLogger(folder / "logs", name="tensorboard")]
    settings: dict[str, Any] = {"accelerator": "cpu", "devices": devices, "strategy": strategy}
    try:
        return _configured(settings, loggers, keeper, folder, epochs)
    except (ValueError, TypeError, MisconfigurationException) as error:
        told = str(error).split(". ")[0]
        raise JobError(f"strategy {strategy!r} on {devices} devices: Lightning says: {told}.") from None


def _configured(settings: dict[str, Any], loggers: Any, keeper: Keeper, folder: Path | None, epochs: int) -> pl.Trainer:
    return pl.Trainer(
        **settings,
        max_epochs=epochs,
        logger=loggers,
        callbacks=[keeper],
        plugins=[SafeIO()],
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        log_every_n_steps=10,
    )


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
