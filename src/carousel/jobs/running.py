"""Under what a fit runs: one seed, and one process that tells and writes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def main_process() -> bool:
    """Whether this is the process that tells and writes, among those that Lightning may have started."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from the seed within, the caller's own afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
