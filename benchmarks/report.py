"""The results as markdown: one table per mode and thread count, and the summary that the project is held to."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from benchmarks.rivals import BASELINE, RIVALS

OURS = ("carousel.LSTM", "carousel peephole")


def table(rows: list[dict], mode: str, threads: int) -> str:
    """Times of the baseline in milliseconds, ratios (below 1 is faster) of everything else."""
    rows = [r for r in rows if r["mode"] == mode and r["threads"] == threads]
    shapes = list(dict.fromkeys(r["shape"] for r in rows))
    others = [s for s in RIVALS if s != BASELINE and any(r["side"] == s for r in rows)]
    find = {(r["shape"], r["side"]): r for r in rows}
    with_memory = any("megabytes" in r for r in rows)
    head = ["(T, B, I, H)", f"{BASELINE}, ms", *others, "of matmul rate (theirs / ours)"]
    lines = [head + ["peak MB (theirs / ours)"] * with_memory]
    for shape in shapes:
        base, our = find[shape, BASELINE], find.get((shape, OURS[0]), {})
        line = [shape, f"{base['milliseconds']:.3g}"]
        line += [ratio(find[shape, other]) if (shape, other) in find else "–" for other in others]
        line.append(both(base, our, "matmul_fraction", "{:.0%}"))
        lines.append(line + [both(base, our, "megabytes", "{:.0f}")] * with_memory)
    if len(shapes) > 1:
        means = [geometric_mean([find[s, o]["ratio"] for s in shapes if (s, o) in find]) for o in others]
        lines.append(["geometric mean", "", *(f"**{m:.2f}**" for m in means), ""] + [""] * with_memory)
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([body[0], "|---" + "|---:" * (len(head) - 1 + with_memory) + "|", *body[1:]])


def ratio(row: dict) -> str:
    return f"{row['ratio']:.2f} ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"


def both(base: dict, our: dict, key: str, form: str) -> str:
    return " / ".join(form.format(r[key]) if key in r else "–" for r in (base, our))


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def marks(rows: list[dict], threads: int) -> list[str]:
    """The project's own marks, each with what was measured."""
    lines = []
    for mode in ("forward", "training"):
        found = {(r["shape"], r["side"]): r for r in rows if r["mode"] == mode and r["threads"] == threads}
        ratios = {shape: r["ratio"] for (shape, side), r in found.items() if side == OURS[0]}
        if not ratios:
            continue
        worst = max(ratios, key=lambda shape: ratios[shape])
        lines.append(f"- {mode}: slowest against {BASELINE} is {worst} at {ratios[worst]:.2f} (mark: 1.10); ")
        lines[-1] += f"geometric mean {geometric_mean(list(ratios.values())):.2f} (mark: below 1)"
        for shape, value in ratios.items():
            if "lengths" in shape:
                lines[-1] += f"; ragged {1 / value:.2f} times as fast (mark: {1.5 if mode == 'forward' else 2})"
        peepholes = [
            r["milliseconds"] / found[shape, OURS[0]]["milliseconds"]
            for (shape, side), r in found.items()
            if side == OURS[1] and (shape, OURS[0]) in found
        ]
        if peepholes:
            lines[-1] += f"; peephole cell at most {max(peepholes):.2f} of our LSTM's time (mark: 1.20)"
    return lines


def about(facts: dict) -> str:
    """What was measured, on what, and how to read it."""
    return (
        f"{facts['cpu']}, {facts['date']}, PyTorch {facts['torch']}, Carousel {facts['carousel']} "
        f"({facts['variant']}), float32. Times are medians; ratios are to `{BASELINE}` in the same run (lower is "
        f"faster), the median of {facts['pairs']} fresh pairs with their range; `control` is `{BASELINE}` against "
        "itself. The cell of the columns after `carousel.LSTM` is the peephole LSTM, which PyTorch has not. At the "
        f"shape with resets `{BASELINE}` runs without them, since it has none."
    )


def markdown(results: dict) -> str:
    """The whole report."""
    parts = [about(results["about"])]
    for threads in results["about"]["threads"]:
        for mode in ("forward", "training"):
            title = "forward" if mode == "forward" else "forward and backward"
            parts.append(
                f"#### {title}, {threads} thread{'s' * (threads > 1)}\n\n{table(results['rows'], mode, threads)}"
            )
        parts.append("\n".join(marks(results["rows"], threads)))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
