"""Several processes: which one this is, what they know together, and the random numbers of each."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from carousel.train.errors import TrainingError


def world() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def share(items: list) -> list:
    """This process's part of a batch. Raises TrainingError where there are fewer items than processes."""
    rank, size = world()
    if len(items) < size:
        raise TrainingError(
            f"a batch of {len(items)} cannot be shared out among {size} processes; choose a larger batch_size."
        )
    return items[rank::size]


def total(number: Tensor) -> Tensor:
    """The sum of a number over all processes."""
    if world()[1] > 1:
        number = number.clone()
        distributed.all_reduce(number)
    return number


def gathered(value: Any) -> list[Any]:
    """What each of the processes has."""
    size = world()[1]
    if size == 1:
        return [value]
    values: list[Any] = [None] * size
    distributed.all_gather_object(values, value)
    return values


def own(values: list[Any]) -> Any:
    """This process's part of what `gathered` gave.

    Raises:
        TrainingError: it was gathered from another number of processes.
    """
    rank, size = world()
    if len(values) != size:
        raise TrainingError(
            f"the checkpoint was written by {len(values)} processes, now there are {size}; resume with as many."
        )
    return values[rank]


def random_state() -> dict[str, Any]:
    """The random states of Python, NumPy and PyTorch on all devices in use, as numbers and tensors."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *numpy[2:]],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on with the random numbers that followed `random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
