"""Random programs through the core, with every variant and number of threads, against the executor in numpy."""

import numpy as np
import pytest

from core_runner import compare
from program_random import RandomProgram


@pytest.mark.parametrize("seed", range(60))
def test_random_program(seed):
    rng = np.random.default_rng(seed)
    made = RandomProgram(rng, backward=seed % 2 == 1)
    T, B = ((0, 2), (3, 0), (1, 1), (1, 3), (6, 1), (5, 2), (4, 5), (3, 30))[rng.integers(8)]
    lengths = rng.integers(0, T + 1, B) if rng.random() < 0.5 else None
    resets = rng.random((T, B)) < 0.3 if rng.random() < 0.5 else None
    compare(
        made.program, T, B, made.inputs(rng, T, B, lengths), made.shapes(T, B), {"atol": 1e-9, "rtol": 1e-7},
        lengths=lengths, resets=resets, reverse=bool(rng.random() < 0.5),
    )  # fmt: skip
