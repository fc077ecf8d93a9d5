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


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tied_gradients(threads):
    """Several reductions into the same matrices, listed in another order than that in which they can be done."""
    step, out = ["step", "in"], ["matrix", "sum"]
    program = {
        "externals": [[*step, "a"], [*step, "b"], [*step, "x"], [*step, "n"], [*out, "Y"], [*out, "X"], [*out, "N"]],
        "values": [["step", 70, 0], ["step", 70, 1], ["step", 80, 2], ["step", 2, 3]],
        "states": [[3, -1, -1, -1, -1, -1, -1, 0]],
        "before": [],
        "loop": [],
        "after": [],
        "reduce": [
            ["matrix", 4, 0, 2],
            ["matrix", 5, 1, 2],
            ["matrix", 6, 1, 3],
            ["matrix", 5, 0, 2],
            ["matrix", 6, 0, 3],
        ],
    }
    rng = np.random.default_rng(0)
    for T, B in ((200, 4), (0, 4)):
        shapes = [(T, B, 70), (T, B, 70), (T, B, 80), (T, B, 2), (70, 80), (70, 80), (70, 2)]
        inputs = [rng.normal(size=s) if i < 4 else None for i, s in enumerate(shapes)]
        compare(program, T, B, inputs, shapes, {"atol": 1e-9, "rtol": 1e-7}, threads=(threads,))
