"""`carousel.Stream` against PyTorch's ways to take one step at batch 1, and against its dynamically quantised LSTM,
also over whole sequences: the sides of two parts of `python -m benchmarks`.

All sides have the same weights, and agree with `torch.nn.LSTM` in float64 over a sequence before anything is timed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import carousel as ca
from benchmarks import timing
from benchmarks.grid import Shape

OURS, LOW, INT8 = "carousel.Stream", "carousel.Stream bfloat16", "carousel.Stream int8"
THEIRS = ("torch.nn.LSTM", "torch.nn.LSTMCell")
QUANTISED = "torch.nn.LSTM, dynamic int8"
STEP = {OURS: THEIRS, LOW: (QUANTISED,), INT8: (QUANTISED,)}
CHUNKS = {OURS: ("torch.nn.LSTM",), LOW: (QUANTISED,), INT8: (QUANTISED,)}
TOLERANCES = {LOW: 3e-2, INT8: 1e-1, QUANTISED: 1e-1}  # of the norm; the others 1e-5
STEPS = 50  # of the sequence on which sides must agree


class Way(NamedTuple):
    """One side: `step` takes one step, `sequence` all of x (T, B, D), from the same state each time."""

    step: Callable[[], Tensor]
    sequence: Callable[[], Tensor]
    over: Callable[[Tensor], Tensor]  # y of a sequence x, step by step


def ways(shape: Shape, seed: int) -> dict[str, Way]:
    """All sides on fresh weights and data, checked."""
    torch.manual_seed(seed)
    theirs, x = nn.LSTM(shape.I, shape.H), torch.randn(shape.T, shape.B, shape.I)
    found = {
        "torch.nn.LSTM": layer(theirs, x),
        "torch.nn.LSTMCell": cell(theirs, x),
        QUANTISED: layer(quantised(theirs), x),
        OURS: stream(theirs, x, None),
        LOW: stream(theirs, x, "bfloat16"),
        INT8: stream(theirs, x, "int8"),
    }
    check(theirs, found, shape)
    return found


def layer(own: Any, x: Tensor) -> Way:
    state = (torch.zeros(1, x.shape[1], own.hidden_size),) * 2

    def over(x: Tensor) -> Tensor:
        now, ys = state, []
        for one in x:
            y, now = own(one[None], now)
            ys.append(y)
        return torch.cat(ys)

    first = x[:1].clone()
    return Way(lambda: own(first, state)[0], lambda: own(x, state)[0], over)


def cell(own: nn.LSTM, x: Tensor) -> Way:
    one = nn.LSTMCell(own.input_size, own.hidden_size)
    one.load_state_dict({name.removesuffix("_l0"): value for name, value in own.state_dict().items()})
    state = (torch.zeros(x.shape[1], own.hidden_size),) * 2

    def over(x: Tensor) -> Tensor:
        now, ys = state, []
        for step in x:
            now = one(step, now)
            ys.append(now[0])
        return torch.stack(ys)

    first = x[0].clone()
    return Way(lambda: one(first, state)[0], lambda: over(x), over)


def stream(own: nn.LSTM, x: Tensor, precision: str | None) -> Way:
    ours = ca.LSTM(own.input_size, own.hidden_size)
    ours.load_state_dict(own.state_dict())
    made = ca.Stream(ours, x.shape[1], precision=precision)

    def over(x: Tensor) -> Tensor:
        made.reset()
        return torch.stack([made(one).clone() for one in x])

    first = x[0].clone()
    return Way(lambda: made(first), lambda: made.run(x), over)


def quantised(own: nn.LSTM) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch moves its quantisation to another package
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(own), {nn.LSTM}, dtype=torch.qint8)[0]


def errors(own: nn.LSTM, found: Mapping[str, Way], shape: Shape) -> dict[str, float]:
    """The error of each side against float64 over a sequence, as a share of the norm."""
    x = torch.randn(STEPS, shape.B, shape.I)
    exact = nn.LSTM(shape.I, shape.H, dtype=torch.float64)
    exact.load_state_dict(own.state_dict())
    want, _ = exact(x.double())
    return {name: ((way.over(x).double() - want).norm() / want.norm()).item() for name, way in found.items()}


def check(own: nn.LSTM, found: Mapping[str, Way], shape: Shape) -> None:
    """Raises `Disagreement` unless every side gives what `torch.nn.LSTM` gives in float64."""
    for name, error in errors(own, found, shape).items():
        if not error <= TOLERANCES.get(name, 1e-5):
            raise timing.Disagreement(f"{name} at {shape.name} is off by {error:.2g}; nothing is reported")


# What is measured: the shapes of one step, and those of whole sequences.
STEPPED = tuple(Shape(1, 1, size, size) for size in (64, 256, 512))
CHUNKED = (Shape(100, 1, 256, 256), Shape(100, 16, 512, 512))
QUICK = {"step": (Shape(1, 1, 8, 8),), "sequence": (Shape(6, 2, 8, 8),)}
MODES: dict[str, tuple[tuple[Shape, ...], timing.Against]] = {"step": (STEPPED, STEP), "sequence": (CHUNKED, CHUNKS)}


@torch.inference_mode()
def measure(mode: str, shape: Shape, threads: int, pairs: int, seconds: float) -> list[dict[str, Any]]:
    """One row a side: milliseconds, how many times as fast as the best of its rivals, and the error over a sequence."""
    timing.use_threads(threads)
    against = MODES[mode][1]
    compared = {*against, *(rival for rivals in against.values() for rival in rivals), QUANTISED}

    def make(seed: int) -> dict[str, Way]:
        return {name: way for name, way in ways(shape, seed).items() if name in compared}

    rows = timing.measure(make, against, pairs, seconds, (mode,))
    torch.manual_seed(0)
    own = nn.LSTM(shape.I, shape.H)
    found = errors(own, ways(shape, 0), shape)
    return [
        {"part": "streaming", "shape": shape.name, "threads": threads, **row, "error": found[row["side"]]}
        for row in rows
    ]
