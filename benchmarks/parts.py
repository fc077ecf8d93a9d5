"""What is measured: for every row of the table that the project holds itself to, the shapes, the sides and who is
compared with whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks import agreement, memory, streaming, timing
from benchmarks.grid import LARGE, QUICK, RESETS, SHAPES, STACKED, Shape, draw
from benchmarks.rivals import BASELINE, RIVALS, available

LSTM, PEEPHOLE = "carousel.LSTM", "carousel peephole"
WITHOUT, PRODUCTS = "carousel.LSTM without", "its products alone"
LOOPS = tuple(name for name in available() if RIVALS[name].cell == "peephole" and name != PEEPHOLE)
LOW = ("torch.nn.LSTM autocast", "torch.nn.LSTM .bfloat16()")


class Part(NamedTuple):
    """Sides that run against each other: `against` has, for each that is compared, those whose best it must beat."""

    title: str
    shapes: tuple[Shape, ...]
    against: timing.Against
    pairs: int = 2
    quick: Shape = QUICK[0]
    modes: tuple[str, ...] = timing.MODES
    memory: bool = False
    errors: bool = False
    missing: Callable[[], str] = lambda: ""  # why it can not be measured here
    elsewhere: bool = False  # `benchmarks.streaming` makes the sides

    @property
    def sides(self) -> list[str]:
        return list(dict.fromkeys([*(n for names in self.against.values() for n in names), *self.against]))


class Budget(NamedTuple):
    """Seconds for each race; pairs, where not the part's own number; how many shapes to take the memory of."""

    seconds: float = 0.6
    pairs: int | None = None
    weighed: int | None = None


WITH_PYTORCH = {"control": (BASELINE,), LSTM: (BASELINE,), PEEPHOLE: (BASELINE,)}


def no_amx() -> str:
    return "" if torch.cpu._is_amx_tile_supported() else "the processor has no AMX"


PARTS = {
    "lstm": Part("float32, one layer", SHAPES, WITH_PYTORCH, pairs=3, memory=True),
    "bidirectional": Part(
        "float32, two layers, two directions", STACKED, WITH_PYTORCH, pairs=3, quick=QUICK[-1], memory=True
    ),
    "peephole": Part("the peephole LSTM against the other ways to write it, float32", SHAPES, {PEEPHOLE: LOOPS}),
    "resets": Part(
        "resets in 3 % of the steps against none, float32", RESETS, {LSTM: (WITHOUT,)}, pairs=3, quick=QUICK[2]
    ),
    "bfloat16": Part(
        "bfloat16",
        tuple(shape for shape in SHAPES if not shape.resets),
        {"carousel.LSTM autocast": LOW},
        errors=True,
    ),
    "products": Part("large shapes against their own products alone, float32", LARGE, {LSTM: (PRODUCTS,)}, pairs=3),
    "streaming": Part(
        "one step at batch 1, the state given or kept",
        streaming.STEPPED,
        streaming.STEP,
        pairs=3,
        quick=streaming.QUICK["step"][0],
        modes=("step",),
        elsewhere=True,
    ),
    "chunks": Part(
        "whole sequences through a Stream",
        streaming.CHUNKED,
        streaming.CHUNKS,
        quick=streaming.QUICK["sequence"][0],
        modes=("sequence",),
        elsewhere=True,
    ),
    "tf32": Part(
        "float32 with torch.backends.mkldnn.rnn.fp32_precision = 'tf32'",
        LARGE,
        {"carousel.LSTM tf32": (LSTM,)},
        errors=True,
        missing=no_amx,
    ),
}


def measure(name: str, shape: Shape, threads: int, budget: Budget, weigh: bool) -> list[dict[str, Any]]:
    """The rows of one shape of a part; with `weigh`, the peak memory too."""
    part = PARTS[name]
    timing.use_threads(threads)
    pairs = budget.pairs or part.pairs
    if part.elsewhere:
        rows = streaming.measure(part.modes[0], shape, threads, pairs, budget.seconds)
        add_rates(rows, shape)
        return [row | {"part": name, "latency": shape.latency} for row in rows]
    torch._dynamo.reset()  # it keeps what it compiled for few shapes, then stops compiling without a word
    rows = timing.measure(
        lambda seed: agreement.make(shape, part.sides, seed), part.against, pairs, budget.seconds, part.modes
    )
    add_rates(rows, shape)
    if part.errors:
        add_errors(rows, part, shape)
    if part.memory and weigh:
        add_memory(rows, part, shape, threads)
    return [{"part": name, "shape": shape.name, "threads": threads, "latency": shape.latency, **row} for row in rows]


def add_rates(rows: list[dict[str, Any]], shape: Shape) -> None:
    steps = draw(shape, 0).steps
    for row in rows:
        row["gflops"] = shape.flops(steps, row["mode"] == "training") / row["milliseconds"] / 1e6


def add_errors(rows: list[dict[str, Any]], part: Part, shape: Shape) -> None:
    """Each side's error, and how many times as large that of the best rival is."""
    found = agreement.errors(shape, part.sides)
    for row in rows:
        row["error"] = found[row["side"]][row["mode"]]
        if rivals := part.against.get(row["side"]):
            row["error_ratio"] = min(found[rival][row["mode"]] for rival in rivals) / row["error"]


def add_memory(rows: list[dict[str, Any]], part: Part, shape: Shape, threads: int) -> None:
    """The peak of the baseline and of our layer. Less than a megabyte counts as one: pages are not finer."""
    for row in rows:
        if row["mode"] == "training" and row["side"] in (BASELINE, LSTM):
            row["megabytes"] = max(1.0, memory.measure(shape, row["side"], threads))
    peaks = {row["side"]: row["megabytes"] for row in rows if "megabytes" in row}
    for row in rows:
        if row["mode"] == "training" and row["side"] == LSTM:
            row["memory_ratio"] = peaks[BASELINE] / peaks[LSTM]
