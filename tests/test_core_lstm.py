"""The core on the hand-written LSTM programs, against the executor in numpy."""

import numpy as np
import pytest
import torch

from core_runner import compare
from program_lstm import lstm_backward, lstm_forward
from tolerances import TOLERANCES

SHAPES = {"step": lambda T, B, w: (T, B, w), "batch": lambda T, B, w: (B, w), "vector": lambda T, B, w: (w,)}


def shape_of(external, T, B, D, H):
    shape, _, name = external
    wide = D if name in ("x", "d_x") else H
    if shape == "matrix":
        return (H, D) if "W_" in name else (H, H)
    return SHAPES[shape](T, B, wide)


def run_both(T, B, D, H, dtype, reverse=False, lengths=None, resets=None, threads=(1, 2, 3, 4), keep=True, **how):
    rng = np.random.default_rng(T + 10 * B + 100 * H)
    tolerance = TOLERANCES[torch.bfloat16 if how.get("precision") == "bfloat16" else getattr(torch, dtype)]
    made = {}

    def arrays(program):
        shapes = [shape_of(e, T, B, D, H) for e in program["externals"]]
        inputs = []
        for (_, role, name), s in zip(program["externals"], shapes, strict=True):
            inputs.append(None if role != "in" else made.setdefault(name, rng.normal(size=s, scale=s[-1] ** -0.5)))
        return inputs, shapes

    def poison(names):
        for b, n in enumerate(lengths if lengths is not None else []):
            for name in names:
                made[name][n:, b] = np.nan

    forward, backward = lstm_forward(D, H, keep), lstm_backward(D, H)
    options = dict(dtype=dtype, reverse=reverse, lengths=lengths, resets=resets, threads=threads, **how)
    inputs, shapes = arrays(forward)
    poison(["x"])
    got = compare(forward, T, B, inputs, shapes, tolerance, **options)
    if not keep:
        return
    for external, a in zip(forward["externals"], got, strict=True):
        if external[1] in ("keep", "out"):
            made[external[2]] = np.array(a, np.float64)
    inputs, shapes = arrays(backward)
    poison(["x", "d_y"])
    compare(backward, T, B, inputs, shapes, tolerance, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("H", [1, 3, 16, 25, 63, 64, 65, 130])
def test_widths(H, dtype):
    run_both(5, 7, 3, H, dtype, threads=(1, 3))


@pytest.mark.parametrize("T, B", [(0, 3), (3, 0), (0, 0), (1, 1), (2, 1), (4, 1), (30, 2), (7, 13), (3, 200)])
def test_sizes(T, B):
    run_both(T, B, 5, 20, "float64")
    run_both(T, B, 5, 20, "float64", keep=False)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_lengths_and_resets(reverse, keep):
    T, B = 40, 9
    rng = np.random.default_rng(3)
    lengths = np.array([40, 0, 3, 39, 1, 17, 17, 25, 0])
    resets = rng.random((T, B)) < 0.2
    for case in (dict(lengths=lengths), dict(resets=resets), dict(lengths=lengths, resets=resets)):
        run_both(T, B, 4, 70, "float64", reverse, keep=keep, **case)


@pytest.mark.parametrize("B", [1, 2, 40])
def test_wide(B):
    """Wide enough that threads share the columns as well as the rows."""
    run_both(8, B, 70, 200, "float64")
    lengths = np.linspace(0, 8, B).astype(int)
    resets = np.random.default_rng(0).random((8, B)) < 0.1
    run_both(8, B, 70, 200, "float32", lengths=lengths, resets=resets, reverse=True)


@pytest.mark.parametrize("T, B, D, H", [(5, 1, 3, 1), (5, 7, 3, 63), (4, 40, 65, 64), (3, 130, 5, 25), (12, 9, 4, 70)])
@pytest.mark.parametrize("precision", ["bfloat16", "split"])
def test_products_of_rounded_factors(T, B, D, H, precision):
    """Every variant rounds the same factors, pairs across odd widths and numbers of rows included."""
    lengths = np.linspace(0, T, B).astype(int)[::-1].copy()
    resets = np.random.default_rng(0).random((T, B)) < 0.1
    run_both(T, B, D, H, "float32", precision=precision)
    run_both(T, B, D, H, "float32", precision=precision, lengths=lengths, resets=resets, reverse=True, threads=(1, 3))
