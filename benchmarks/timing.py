"""Timing sides against each other: interleaved, order alternated, on fresh pairs."""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

MODES = ("forward", "training")
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
LONG_ROUND, LONG_PAIRS = 2.0, 20.0  # seconds: above, fewer rounds, and no third pair
HOPELESS = 1.5  # a rival that took that many times the best one's time in the first pair is left out of the others

Sides = Mapping[str, Any]
Against = Mapping[str, tuple[str, ...]]  # side -> those whose best it is compared with


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
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 6 or time.perf_counter() < end:
        taken.append(once(lambda: torch.mm(a, b, out=out), 1))
    return 2 * size**3 / min(taken)


def once(call: Callable[[], Any], number: int) -> float:
    """Mean seconds of `number` calls in a row."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def first(call: Callable[[], Any]) -> float:
    """About what a call takes; the very first one may be slow for other reasons, so a short one is made twice."""
    taken = once(call, 1)
    return taken if taken > 0.3 else min(taken, once(call, 1))


def race(sides: Sides, mode: str, seconds: float) -> dict[str, float]:
    """Median seconds of each side over interleaved rounds: a drawn order, then the same turned round, and so on.

    Who runs after itself finds its caches warm, so short calls are preceded by one that is not timed.
    """
    calls = {name: getattr(side, mode) for name, side in sides.items()}
    single = {name: first(call) for name, call in calls.items()}
    number = {name: max(1, round(0.002 / taken)) for name, taken in single.items()}
    cost = sum(single[name] * number[name] for name in calls)
    rounds = max(4 if cost < LONG_ROUND else 2, min(60, 2 * round(seconds / cost / 2)))
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


def measure(
    make: Callable[[int], Sides], against: Against, pairs: int, seconds: float, modes: tuple[str, ...] = MODES
) -> list[dict[str, Any]]:
    """One row a mode and side: the median time over pairs, and how many times it is as fast as the best of those that
    it is compared with (the ratio of the medians within a pair: the median, the lowest and the highest of the pairs).

    Args:
        make: fresh sides from a seed.
        pairs: how many at most.
    """
    times: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    start = time.perf_counter()
    for pair in range(pairs):
        if pair >= 2 and time.perf_counter() - start > LONG_PAIRS:
            break
        sides = make(100 * pair)
        for mode in modes:
            left = hopeful(times[mode][0], against) if pair else sides
            times[mode].append(race({name: sides[name] for name in left}, mode, seconds))
    return [row(mode, name, times[mode], against.get(name, ())) for mode in modes for name in times[mode][0]]


def hopeful(first: dict[str, float], against: Against) -> list[str]:
    """The sides that are compared, and of their rivals those which can be the best ones."""
    kept = set(against)
    for rivals in against.values():
        best = min(first[name] for name in rivals)
        kept |= {name for name in rivals if first[name] <= HOPELESS * best}
    return [name for name in first if name in kept]


def row(mode: str, name: str, times: list[dict[str, float]], rivals: tuple[str, ...]) -> dict[str, Any]:
    taken = [time[name] for time in times if name in time]
    found = {"mode": mode, "side": name, "milliseconds": 1e3 * statistics.median(taken)}
    if rivals:
        best = [min((rival for rival in rivals if rival in time), key=lambda rival: time[rival]) for time in times]
        ratios = [time[rival] / time[name] for rival, time in zip(best, times, strict=True)]
        found |= {"best": statistics.mode(best), "ratio": statistics.median(ratios)}
        found |= {"ratio_low": min(ratios), "ratio_high": max(ratios)}
    return found
