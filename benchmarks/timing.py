"""Timing sides against each other: interleaved, order alternated, fresh pairs, and only if they agree."""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.grid import Data, Shape, draw
from benchmarks.loops import Weights, draw_weights, masks, python_loop
from benchmarks.rivals import BASELINE, RIVALS

MODES = ("forward", "training")
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class Disagreement(Exception):
    """A side does not compute what it is compared with."""


def use_threads(threads: int) -> None:
    """PyTorch's thread count, and as many processors for the whole process, which binds every rival alike."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(PROCESSORS)[:threads]
        for task in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(task.name), processors)


def matmul_rate(seconds: float = 0.5, size: int = 1024) -> float:
    """Floating-point operations a second of a float32 matrix product with the present threads: the best of many."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return 2 * size**3 / min(repeat(lambda: torch.mm(a, b, out=out), seconds))


def repeat(call: Callable[[], Any], seconds: float, at_least: int = 5) -> list[float]:
    """The seconds that each call took, calls going on for `seconds`."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < at_least or time.perf_counter() < end:
        taken.append(once(call, 1))
    return taken


def once(call: Callable[[], Any], number: int) -> float:
    """Mean seconds of `number` calls in a row."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def reference(cell: str, shape: Shape, data: Data, weights: list[Weights], resets: bool = True) -> torch.Tensor:
    """What a side of this cell has to give: the Python loop in the data's dtype, differentiable in x."""
    keep, valid = masks(shape.T, data.lengths, data.resets if resets else None, data.x.dtype)
    outputs = []
    for reverse, (W, U, V, b) in enumerate(weights):
        flip = (lambda a: a.flip(0)) if reverse else (lambda a: a)
        V = V if cell == "peephole" else torch.zeros_like(V)
        outputs.append(flip(python_loop(flip(data.x), W, U, V, b, keep, valid)))
    return torch.cat(outputs, -1)


def check(name: str, side: Any, shape: Shape, data: Data, weights: list[Weights]) -> None:
    """Raises `Disagreement` unless output and input gradient are the reference's, to a share of the largest number."""
    knows_resets = RIVALS[name][1] is not RIVALS[BASELINE][1]
    want_y = reference(RIVALS[name][0], shape, data, weights, knows_resets)
    (want_dx,) = torch.autograd.grad(want_y, data.x, data.gradient)
    tolerance = 1e-3 if data.x.dtype == torch.float32 else 1e-9
    y, dx = side.training()
    for what, got, want in (("y", side.forward(), want_y), ("y in training", y, want_y), ("dx", dx, want_dx)):
        got = got.detach() if isinstance(got, torch.Tensor) else torch.tensor(numpy.asarray(got))
        error = (got - want.detach()).abs().max().item()
        if not error <= tolerance * (1 + want.abs().max().item()):
            raise Disagreement(f"{name} at {shape.name}: {what} is off by {error:.2g}; nothing is reported")


def make(shape: Shape, rivals: list[str], seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Fresh, checked sides on the same data and weights."""
    data = draw(shape, seed, dtype)
    weights = [draw_weights(shape.I, shape.H, seed + k, dtype) for k in range(shape.directions)]
    sides = {name: RIVALS[name][1](shape, data, weights) for name in rivals}
    for name, side in sides.items():
        check(name, side, shape, data, weights)
    return sides


def race(sides: dict[str, Any], mode: str, seconds: float) -> dict[str, float]:
    """Median seconds of each side over interleaved rounds: a drawn order, then the same turned round, and so on.

    Who runs after itself finds its caches warm, so short calls are preceded by one that is not timed.
    """
    calls = {name: getattr(side, mode) for name, side in sides.items()}
    single = {name: min(once(call, 1) for _ in range(2)) for name, call in calls.items()}
    number = {name: max(1, round(0.002 / taken)) for name, taken in single.items()}
    cost = sum(single[name] * number[name] for name in calls)
    rounds = max(4, min(60, 2 * round(seconds / cost / 2)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    order: list[str] = []
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            order = random.sample(list(calls), len(calls)) if k % 2 == 0 else order[::-1]
            for name in order:
                if single[name] < 0.01:
                    calls[name]()
                taken[name].append(once(calls[name], number[name]))
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(shape: Shape, rivals: list[str], threads: int, pairs: int, seconds: float) -> list[dict]:
    """One row per mode and side: median time over pairs, and the median, lowest and highest ratio to the baseline."""
    use_threads(threads)
    torch._dynamo.reset()  # it keeps what it compiled for few shapes, then stops compiling without a word
    rate = matmul_rate()
    steps = draw(shape, 0).steps
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for pair in range(pairs):
        sides = make(shape, rivals, seed=100 * pair)
        for mode in MODES:
            times = race(sides, mode, seconds)
            for name, taken in times.items():
                found.setdefault((mode, name), []).append((taken, taken / times[BASELINE]))
    return [row(shape, mode, name, threads, steps, rate, values) for (mode, name), values in found.items()]


def row(shape: Shape, mode: str, name: str, threads: int, steps: int, rate: float, values: list) -> dict:
    taken = statistics.median(v[0] for v in values)
    ratios = sorted(v[1] for v in values)
    flops = shape.flops(steps, mode == "training")
    return {
        "shape": shape.name,
        "mode": mode,
        "threads": threads,
        "side": name,
        "milliseconds": 1e3 * taken,
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "matmul_fraction": flops / taken / rate,
        "matmul_gflops": rate / 1e9,
    }
