"""The results as markdown: the table of marks, and for each part one table per mode and number of threads."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import marks
from benchmarks.parts import PARTS
from benchmarks.rivals import BASELINE

Row = dict[str, Any]


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = [about(results), marks.LEGEND, marks.table(results)]
    if short := marks.falls_short(results):
        parts.append("What falls short of its mark:\n\n" + short)
    for name in PARTS:
        rows = [row for row in results["rows"] if row["part"] == name]
        if not rows:
            continue
        parts.append(f"## {PARTS[name].title}")
        for threads in sorted({row["threads"] for row in rows}):
            for mode in dict.fromkeys(row["mode"] for row in rows):
                chosen = [row for row in rows if row["mode"] == mode and row["threads"] == threads]
                if chosen:
                    title = "forward and backward" if mode == "training" else mode
                    parts.append(f"### {title}, {threads} thread{'s' * (threads > 1)}\n\n{table(chosen)}")
    return "\n\n".join(parts) + "\n"


def where(results: dict[str, Any]) -> str:
    """The processor, the day and the versions."""
    facts = results["about"]
    versions = f"PyTorch {facts['torch']}, Carousel {facts['carousel']} ({facts['variant']})"
    return f"{facts['cpu']}, {facts['date']}, {versions}. Shapes are (T, B, I, H)."


def about(results: dict[str, Any]) -> str:
    """What was measured, on what, and how to read it."""
    rates = " and ".join(f"{rate:.0f} with {n}" for n, rate in results["rates"].items())
    return (
        f"{where(results)} Times are milliseconds, medians of interleaved rounds; "
        "**bold** is how many times as fast a side is as the best of those that it is compared with: the ratio of the "
        "medians within a fresh pair of layers and data, its median over the pairs, and in brackets the lowest and the "
        f"highest. `control` is `{BASELINE}` against itself. `{BASELINE}` has no resets, and runs without. A float32 "
        f"`torch.mm` of 1024 x 1024 reaches, in GFLOP/s: {rates} thread(s). {sources(results['rows'])}"
    )


def sources(rows: Iterable[Row]) -> str:
    """Which parts were measured when, and of which state of the source."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["measured"], set()).add(row["part"])
    return " ".join(f"{', '.join(sorted(parts))}: measured {when}." for when, parts in sorted(found.items()))


def table(rows: list[Row]) -> str:
    """One mode and number of threads: a line a shape, a column a side, then what else was measured."""
    sides, shapes = (list(dict.fromkeys(row[key] for row in rows)) for key in ("side", "shape"))
    find = {(row["shape"], row["side"]): row for row in rows}
    base, ours = ends(rows)
    more = [extra for extra in MORE if any(extra.key in row for row in rows)]
    shown = {extra: sides if extra.every else [base, ours] for extra in more}
    head = ["(T, B, I, H)", *sides, *(f"{extra.title}: {' / '.join(of)}" for extra, of in shown.items())]
    lines = [head]
    for shape in shapes:
        cells = [cell(find.get((shape, side))) for side in sides]
        lines.append(
            [shape, *cells, *(values(extra, [find.get((shape, s), {}) for s in shown[extra]]) for extra in more)]
        )
    if len(shapes) > 1:
        lines.append(["geometric mean", *(mean(rows, side) for side in sides), *[""] * len(more)])
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([body[0], "|---" + "|---:" * (len(head) - 1) + "|", *body[1:]])


class Extra(NamedTuple):
    """A column of what is measured beside times: of every side, or of the best rival and ours."""

    key: str
    title: str
    form: str
    every: bool


MORE = (
    Extra("gflops", "GFLOP/s", ".0f", every=False),
    Extra("megabytes", "peak MB", ".0f", every=False),
    Extra("error", "error", ".1e", every=True),
)


def values(extra: Extra, rows: list[Row]) -> str:
    return " / ".join(format(row[extra.key], extra.form) if extra.key in row else "–" for row in rows)


def ends(rows: list[Row]) -> tuple[str, str]:
    """The rival that is the best one most often, and the side of ours that is compared with it."""
    ours = next(row["side"] for row in rows if "ratio" in row and row["side"] != "control")
    best = [row["best"] for row in rows if row["side"] == ours]
    return max(dict.fromkeys(best), key=best.count), ours


def cell(row: Row | None) -> str:
    if row is None:
        return "–"
    ratio = f" **{row['ratio']:.2f}** ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})" if "ratio" in row else ""
    return f"{row['milliseconds']:.3g}{ratio}"


def mean(rows: list[Row], side: str) -> str:
    ratios = [row["ratio"] for row in rows if row["side"] == side and "ratio" in row]
    return f"**{marks.geometric_mean(ratios):.2f}**" if ratios else ""


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
