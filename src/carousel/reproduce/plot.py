"""The plot: every trial, the mean with its interval, and the paper's figure; below, the curves of the trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from carousel.reproduce.experiment import AS_PUBLISHED, CHANGED, REMEMBERED, TODAY, Axes, Experiment, Measure
from carousel.reproduce.table import Row, rows

COLOURS = {AS_PUBLISHED: "#1f3a5f", CHANGED: "#8a63b0", TODAY: "#3a9a7e"}
PAPER = "#d1495b"
LINES = ("#4477aa", "#ee8866", "#228833", "#aa3377", "#66ccee", "#997700", "#332288", "#999999")  # of curves
Entry = dict[str, Any]


def draw(path: Path, experiment: Experiment, entries: Sequence[Entry]) -> None:
    """Write the plot of a file of results as a PNG."""
    from matplotlib.figure import Figure

    found = rows(experiment, entries)
    measures = [one for one in experiment.measures if any(r.measure == one and r.summary for r in found)]
    curves = [name for name in experiment.curves if any(name in t for e in entries for t in e["trials"])]
    heights = [0.9 + 0.34 * len([r for r in found if r.measure == one]) for one in measures] + [3.0] * len(curves)
    figure = Figure(figsize=(9, 0.9 + sum(heights)), dpi=100, layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, measure in zip(panels, measures, strict=False):
        _measure(axis, measure, [row for row in found if row.measure == measure], entries)
    for axis, name in zip(panels[len(measures) :], curves, strict=True):
        _curves(axis, name, experiment.curves[name], entries)
    for axis in panels:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.legend(handles=_legend(found), loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.suptitle(experiment.title, x=0.01, ha="left", fontsize=11)
    figure.savefig(path)


def _measure(axis: Any, measure: Measure, found: Sequence[Row], entries: Sequence[Entry]) -> None:
    """One line a setting: trials as dots, the mean with its interval, the paper's figure as a diamond."""
    scale = 100 if measure.kind == "share" else 1
    everything = []
    for place, row in enumerate(found):
        colour = COLOURS[row.setting.kind]
        trials = [scale * value for value in _values(row, entries)]
        everything += trials
        axis.scatter(trials, [place + 0.12] * len(trials), s=10, color=colour, alpha=0.35, linewidths=0)
        if row.summary is not None:
            s = row.summary
            if s.low is not None and s.high is not None:
                axis.plot([scale * s.low, scale * s.high], [place, place], color=colour, linewidth=2.5, alpha=0.6)
            axis.plot(scale * s.mean, place, "|", color=colour, markersize=12, markeredgewidth=2.2)
        if row.figure is not None:
            everything.append(scale * row.figure.value)
            sure = "full" if row.figure.mark != REMEMBERED else "none"
            axis.plot(scale * row.figure.value, place - 0.12, "D", color=PAPER, markersize=5.5, fillstyle=sure)
    if everything and min(everything) > 0 and max(everything) > 20 * min(everything):
        axis.set_xscale("log")
    axis.set_yticks(range(len(found)), [row.cells()[0] for row in found], fontsize=8)
    for label, row in zip(axis.get_yticklabels(), found, strict=True):
        label.set_color(COLOURS[row.setting.kind])
    axis.set_ylim(len(found) - 0.5, -0.5)
    better = "" if measure.better == "neither" else f" ({measure.better} is better)"
    axis.set_xlabel(f"{measure}{', %' if scale == 100 else ''}{better}", fontsize=9)
    axis.grid(axis="x", color="0.9", linewidth=0.6)


def _values(row: Row, entries: Sequence[Entry]) -> list[float]:
    (entry,) = [one for one in entries if (one["setting"], one["quick"]) == (row.setting.name, row.quick)]
    return [trial[row.measure.name] for trial in entry["trials"] if trial.get(row.measure.name) is not None]


def _curves(axis: Any, name: str, axes: Axes, entries: Sequence[Entry]) -> None:
    """A setting a colour: each trial a thin line, their mean a thick one."""
    for number, entry in enumerate(entries):
        lines = [trial[name] for trial in entry["trials"] if trial.get(name)]
        colour = LINES[number % len(LINES)]
        style = "--" if number >= len(LINES) or entry["kind"] == TODAY else "-"
        for line in lines if len(lines) > 1 else ():
            axis.plot(*zip(*line, strict=True), color=colour, linewidth=0.7, alpha=0.3, linestyle=style)
        mean = _mean(lines)
        if mean:
            label = f"{entry['setting']}{' (quick)' * entry['quick']}"
            axis.plot(*zip(*mean, strict=True), color=colour, linewidth=1.8, linestyle=style, label=label)
    for letter in axes.logarithmic:
        getattr(axis, f"set_{letter}scale")("log")
    axis.set_xlabel(axes.x, fontsize=9)
    axis.set_ylabel(axes.y, fontsize=9)
    axis.legend(frameon=False, fontsize=8)
    axis.grid(color="0.92", linewidth=0.6)


def _mean(lines: Sequence[Sequence[Sequence[float]]]) -> list[tuple[float, float]]:
    """The mean over the trials, where all of them have a value."""
    values = [{x: y for x, y in line if y is not None} for line in lines]
    shared = [x for x in values[0] if all(x in one for one in values)] if values else []
    return [(x, fmean(one[x] for one in values)) for x in shared]


def _legend(found: Sequence[Row]) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = [kind for kind in COLOURS if any(row.setting.kind == kind for row in found)]
    marks = [
        Line2D([], [], color="0.4", marker="o", markersize=3.5, linestyle="", alpha=0.6, label="a trial"),
        Line2D([], [], color="0.4", marker="|", markersize=10, linewidth=2.5, label="mean, 95 % interval"),
    ]
    for label, sure, fill in (("the paper's figure", True, "full"), ("the same, as remembered", False, "none")):
        if any(row.figure and (row.figure.mark != REMEMBERED) == sure for row in found):
            line = Line2D([], [], color=PAPER, marker="D", markersize=5.5, linestyle="", fillstyle=fill, label=label)  # type: ignore[arg-type]
            marks.append(line)
    return [Patch(color=COLOURS[kind], label=f"ours, {kind}") for kind in kinds] + marks
