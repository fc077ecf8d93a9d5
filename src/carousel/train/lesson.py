"""`Lesson`: a model, how its error is measured, and how an update is made of it, as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning import pytorch as pl
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from carousel.train.errors import TrainingError
from carousel.train.processes import total, world
from carousel.train.truncation import Truncated, detached


class Lesson(pl.LightningModule):
    """Back-propagation through time for any model.

    Args:
        model: what learns.
        loss: `loss(model, batch)` gives a scalar, the mean over the batch; or `(total, count)`, the sum over what
            counts and how much that is. Then each update follows the mean over the whole batch, however it is shared
            out among processes, and validation the mean over all batches; with a scalar, batches count alike. With
            `truncation`, `loss(model, chunk, state)` gives that together with the next state:
            `(total, count), state`, where state is None at first.
        optimizer: PyTorch's, made of the model's parameters.
        score: like `loss`, what validation looks at, the less the better; or a dictionary of several, of which the
            first decides. None looks at the loss.
        clip: what changes the gradients before each update, such as `ClipNorm(5.0)`.
        schedule: `schedule(epoch, update)`, both from 0, gives what the optimizer's learning rates are multiplied by.
        truncation: `Truncated()` for a stream of `Chunk`; None goes back to the beginning of each batch.
        average: how much of the running average of the weights stays at each update, such as 0.99; the average is then
            what is validated and kept. None keeps the weights themselves.

    Raises:
        FloatingPointError: in training, for a loss that is not finite.

    >>> model = nn.Linear(3, 1)
    >>> def loss(model, batch):
    ...     x, target = batch
    ...     return ((model(x) - target) ** 2).sum(), target.numel()
    >>> lesson = Lesson(model, loss, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> lesson.training_step((torch.ones(2, 3), torch.ones(2, 1)), 0).shape
    torch.Size([])
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable,
        optimizer: torch.optim.Optimizer,
        *,
        score: Callable | None = None,
        clip: Callable | None = None,
        schedule: Callable[[int, int], float] | None = None,
        truncation: Truncated | None = None,
        average: float | None = None,
    ):
        super().__init__()
        self.model, self.optimizer = model, optimizer
        self.loss, self.score = loss, score or loss
        self.clip, self.schedule, self.truncation = clip, schedule, truncation
        averaging = average and get_ema_multi_avg_fn(average)
        self.average = AveragedModel(model, multi_avg_fn=averaging).requires_grad_(False) if averaging else None
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._state: Any = None  # of validation
        self._seen: Tensor | None = None  # of the round: the sum of its losses, and their count

    @property
    def examined(self) -> nn.Module:
        """What is validated and kept: the model, or its running average."""
        return self.model if self.average is None else self.average.module

    def on_train_start(self) -> None:
        """A checkpoint's state of the stream belongs on the model's device."""
        if self.truncation is not None:
            self.truncation.to(self.device)

    def on_train_batch_start(self, batch: Any, number: int) -> None:
        """Set the learning rate."""
        if self.schedule is None:
            return
        epoch = getattr(self.trainer.train_dataloader, "epoch", self.trainer.current_epoch)
        factor = self.schedule(epoch, self.trainer.global_step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def training_step(self, batch: Any, number: int) -> Tensor:
        """The mean loss of the batch; () scalar.

        DDP takes the mean of the processes' gradients, so each process's sum is divided by its share of what all count.
        """
        if self.truncation is None:
            found = self.loss(self.model, batch)
        else:
            found = self.truncation(self.loss, self.model, batch)
        sum_, count = measured(found)
        seen = total(torch.stack([sum_.detach(), count]).double())
        if not seen[0].isfinite():
            raise FloatingPointError(
                f"the loss is {float(seen[0])} at update {self._update}; lower the learning rate, or clip gradients."
            )
        self._seen = seen if self._seen is None else self._seen + seen
        return sum_ * world()[1] / _some(seen[1]).to(sum_.dtype)

    def train_loss(self) -> float:
        """The mean loss since the last call, over all processes; nan where there was no update."""
        seen, self._seen = self._seen, None
        sum_, count = (0.0, 0.0) if seen is None else seen.tolist()
        return sum_ / count if count else float("nan")

    def validation_step(self, batch: Any, number: int) -> None:
        """The scores of a batch, weighted by how much counts."""
        for name, (sum_, count) in self.examine(batch, number).items():
            mean, weight = sum_ / _some(count), count.item()
            self.log(f"validation_{name}", mean, sync_dist=True, batch_size=weight)  # type: ignore[arg-type]

    def examine(self, batch: Any, number: int) -> dict[str, tuple[Tensor, Tensor]]:
        """The sum and the count of each score of batch `number`."""
        if self.truncation is None:
            found = self.score(self.examined, batch)
        else:
            found, state = self.score(self.examined, batch, None if number == 0 else self._state)
            self._state = detached(state)
        return {name: measured(one) for name, one in (found if isinstance(found, dict) else {"loss": found}).items()}

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip, as Lightning asks before each update."""
        if self.clip is not None:
            self.clip([p for group in optimizer.param_groups for p in group["params"]])

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One update, after which the average follows."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer."""
        return self.optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The state of the stream goes with the weights."""
        if self.truncation is not None:
            checkpoint["truncation"] = self.truncation.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there. Raises TrainingError if it was written by another lesson."""
        _check_same(_shapes(self.state_dict()), _shapes(checkpoint["state_dict"]))
        if (self.truncation is None) != ("truncation" not in checkpoint):
            raise TrainingError("the checkpoint and this lesson differ in truncation; resume with the same.")
        if self.truncation is not None:
            self.truncation.load_state_dict(checkpoint["truncation"])

    @property
    def _update(self) -> int:
        return self._trainer.global_step if self._trainer is not None else 0


def measured(found: Any) -> tuple[Tensor, Tensor]:
    """The sum and the count of what a loss gave.

    Raises:
        TypeError: it gave something else.

    >>> measured(torch.tensor(0.5))
    (tensor(0.5000), tensor(1.))
    """
    sum_, count = found if isinstance(found, tuple) and len(found) == 2 else (found, 1.0)
    if not isinstance(sum_, Tensor) or sum_.dim():
        given = f"shape {tuple(sum_.shape)}" if isinstance(sum_, Tensor) else type(sum_).__name__
        raise TypeError(f"the loss gave {given}, expected a scalar tensor, or (total, count) with a scalar total.")
    return sum_, torch.as_tensor(count, dtype=sum_.dtype, device=sum_.device).detach()


def _some(count: Tensor) -> Tensor:
    """The count, or 1 where there is nothing."""
    return torch.where(count > 0, count, 1)


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}


def _check_same(now: dict[str, tuple[int, ...]], then: dict[str, tuple[int, ...]]) -> None:
    for name in sorted({*now, *then}):
        if now.get(name) != then.get(name):
            raise TrainingError(
                f"the checkpoint is of another model: {name} was {then.get(name, 'not there')}, now it is "
                f"{now.get(name, 'not there')}; resume with the same model."
            )
