"""The table that the project holds itself to: each row says what is to be reached against whom, and whether it is.

Every mark is a ratio that must not be below a number: how many times we are as fast as the best of those that we are
compared with, or how many times their memory or their error is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.parts import LSTM, PEEPHOLE
from benchmarks.rivals import BASELINE

Row = dict[str, Any]


class Mark(NamedTuple):
    """`mean`: the least geometric mean over shapes; `each`: the least ratio of any shape; `shown`: in the README."""

    what: str
    against: str
    part: str
    side: str
    mode: str
    mean: float | None = None
    each: float | None = 1.0
    key: str = "ratio"
    only: Callable[[Row], bool] = lambda row: True
    shown: bool = False

    @property
    def goal(self) -> str:
        parts = [] if self.mean is None else [f"geometric mean at least {self.mean:g}"]
        if self.each == 1 and self.key == "ratio":
            parts.append("no shape slower")
        elif self.each is not None:
            parts.append(f"at least {self.each:.3g}")
        return ", ".join(parts)


class Verdict(NamedTuple):
    """Whether a mark is reached (None: it was not measured), the figure, and the shapes that fall short."""

    reached: bool | None
    figure: str
    short: dict[str, float]


def ragged(row: Row) -> bool:
    return "lengths" in row["shape"]


def latency(row: Row) -> bool:
    return row["latency"]


LEGEND = (
    "Every figure is theirs over ours (time; peak memory and error in the rows of that name), so more is better: the "
    "geometric mean over shapes, and the lowest of them."
)
BEST_LOOP = "the best of Python loop, torch.jit.script, torch.compile, jax.lax.scan"
CELL, FLOOR, PER_PRODUCT = "the cell", "their own products alone", 1 / 1.15
STEP, INT8 = "the better of torch.nn.LSTM and torch.nn.LSTMCell", "torch.nn.LSTM, dynamically quantised to int8"
LOW, TWICE = "torch.nn.LSTM in bfloat16, the better way", 0.5

MARKS = (
    Mark("LSTM float32, forward", BASELINE, "lstm", LSTM, "forward", mean=1.5, shown=True),
    Mark("LSTM float32, training", BASELINE, "lstm", LSTM, "training", mean=1.7, shown=True),
    Mark("the same, latency shapes", BASELINE, "lstm", LSTM, "training", each=4, only=latency),
    Mark("peephole cell, forward", BEST_LOOP, "peephole", PEEPHOLE, "forward", mean=3, shown=True),
    Mark("peephole cell, training", BEST_LOOP, "peephole", PEEPHOLE, "training", mean=3, shown=True),
    Mark("cells of ten kinds, forward", BEST_LOOP, "cells against loops", "carousel", "forward", mean=3, shown=True),
    Mark("cells of ten kinds, training", BEST_LOOP, "cells against loops", "carousel", "training", mean=3, shown=True),
    Mark("products of the state before, forward", "our LSTM per product", "cells", CELL, "forward", each=PER_PRODUCT),
    Mark("products of the state before, training", "our LSTM per product", "cells", CELL, "training", each=PER_PRODUCT),
    Mark("other cells, forward", FLOOR, "cells by floor", CELL, "forward", each=PER_PRODUCT),
    Mark("other cells, training", FLOOR, "cells by floor", CELL, "training", each=PER_PRODUCT),
    Mark("ragged lengths, forward", f"{BASELINE}, packed", "lstm", LSTM, "forward", each=1.8, only=ragged, shown=True),
    Mark("ragged lengths, training", f"{BASELINE}, packed", "lstm", LSTM, "training", each=3, only=ragged, shown=True),
    Mark("resets in 3 % of the steps, forward", "the same without", "resets", LSTM, "forward", each=1 / 1.05),
    Mark("resets in 3 % of the steps, training", "the same without", "resets", LSTM, "training", each=1 / 1.05),
    Mark("bfloat16, forward", LOW, "bfloat16", "carousel.LSTM autocast", "forward", mean=1.5, shown=True),
    Mark("bfloat16, training", LOW, "bfloat16", "carousel.LSTM autocast", "training", mean=2, shown=True),
    Mark("its error, forward", LOW, "bfloat16", "carousel.LSTM autocast", "forward", each=TWICE, key="error_ratio"),
    Mark("its error, training", LOW, "bfloat16", "carousel.LSTM autocast", "training", each=TWICE, key="error_ratio"),
    Mark("TF32-like setting, forward", "our own float32", "tf32", "carousel.LSTM tf32", "forward", each=1.3),
    Mark("TF32-like setting, training", "our own float32", "tf32", "carousel.LSTM tf32", "training", each=1.3),
    Mark("large shapes, training", "the same products alone", "products", LSTM, "training", each=0.85),
    Mark("peak memory, training", BASELINE, "lstm", LSTM, "training", key="memory_ratio", shown=True),
    Mark("Stream, one step at batch 1", STEP, "streaming", "carousel.Stream", "step", each=2, shown=True),
    Mark("Stream in int8, one step", INT8, "streaming", "carousel.Stream int8", "step", shown=True),
    Mark("Stream in int8, sequences", INT8, "chunks", "carousel.Stream int8", "sequence"),
    Mark("Stream in bfloat16, one step", INT8, "streaming", "carousel.Stream bfloat16", "step"),
    Mark("Stream in bfloat16, sequences", INT8, "chunks", "carousel.Stream bfloat16", "sequence"),
    Mark("two layers, two directions, forward", BASELINE, "bidirectional", LSTM, "forward", mean=1.5),
    Mark("two layers, two directions, training", BASELINE, "bidirectional", LSTM, "training", mean=1.7),
    Mark("their peak memory, training", BASELINE, "bidirectional", LSTM, "training", key="memory_ratio"),
)  # fmt: skip


def verdict(mark: Mark, rows: Iterable[Row], threads: int) -> Verdict:
    """Whether the rows with that many threads reach the mark."""
    asked = (mark.part, mark.side, mark.mode, threads)
    found = {
        row["shape"]: row[mark.key]
        for row in rows
        if (row["part"], row["side"], row["mode"], row["threads"]) == asked and mark.key in row and mark.only(row)
    }
    if not found:
        return Verdict(None, "", {})
    short = {shape: ratio for shape, ratio in found.items() if mark.each is not None and ratio < mark.each}
    mean, least = geometric_mean(found.values()), min(found, key=lambda shape: found[shape])
    reached = not short and (mark.mean is None or mean >= mark.mean)
    lowest = f"{found[least]:.2f}" + f" at {least}" * (len(found) > 1)
    figure = lowest if mark.mean is None else f"{mean:.2f}, lowest {lowest}"
    return Verdict(reached, figure + f" ({len(short)} of {len(found)} fall short)" * (len(short) > 1), short)


def geometric_mean(values: Iterable[float]) -> float:
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))


def table(results: dict[str, Any], marks: Iterable[Mark] = MARKS) -> str:
    """The marks with what was measured, a column for each number of threads."""
    counts = sorted({row["threads"] for row in results["rows"]})
    head = ["", "against", "to reach", *(f"{n} thread{'s' * (n > 1)}" for n in counts)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for mark in marks:
        why = results["missing"].get(mark.part, "not measured")
        cells = [words(verdict(mark, results["rows"], threads), why) for threads in counts]
        lines.append("| " + " | ".join([mark.what, mark.against, mark.goal, *cells]) + " |")
    return "\n".join(lines)


def figures(results: dict[str, Any], marks: Iterable[Mark] = MARKS) -> str:
    """What was measured for the marks that are shown, without what is to be reached."""
    counts = sorted({row["threads"] for row in results["rows"]})
    head = ["", "against", *(f"{n} thread{'s' * (n > 1)}" for n in counts)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for mark in marks:
        found = [verdict(mark, results["rows"], threads) for threads in counts]
        if mark.shown and any(one.figure for one in found):
            lines.append("| " + " | ".join([mark.what, mark.against, *(one.figure or "–" for one in found)]) + " |")
    return "\n".join(lines)


def words(found: Verdict, why: str) -> str:
    return why if found.reached is None else f"{'**yes**' if found.reached else '**no**'}: {found.figure}"


def falls_short(results: dict[str, Any], marks: Iterable[Mark] = MARKS) -> str:
    """Every shape that is below a mark, with its ratio."""
    lines = []
    for mark in marks:
        for threads in sorted({row["threads"] for row in results["rows"]}):
            if short := verdict(mark, results["rows"], threads).short:
                shapes = "; ".join(f"{shape} {ratio:.2f}" for shape, ratio in short.items())
                lines.append(f"- {mark.what}, {threads} thread{'s' * (threads > 1)}: {shapes}")
    return "\n".join(lines)
