"""The plot: what was held out, and what was forecast of it, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

COLOURS = ("#1f3a5f", "#d1495b")  # what happened, what was forecast


class Panel(NamedTuple):
    """One series: the truth (N,) at its times, and forecasts that each have times (H,) and a band (H, 3)."""

    name: str
    times: np.ndarray
    target: np.ndarray
    forecasts: list[tuple[np.ndarray, np.ndarray]]


def draw(path: Path, panels: list[Panel], target: str, interval: float, title: str) -> None:
    """Write the panels, one below the other, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 2.9 * len(panels)), dpi=130, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _panel(axis, panel, target, interval)
    axes[0].legend(loc="upper left", bbox_to_anchor=(0, 1.0), frameon=False, ncols=3, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.savefig(path)


def _panel(axis, panel: Panel, target: str, interval: float) -> None:
    truth, forecast = COLOURS
    axis.plot(panel.times, panel.target, color=truth, linewidth=1.3, label="observed")
    for number, (times, band) in enumerate(panel.forecasts):
        first = number == 0
        axis.fill_between(
            times, band[:, 0], band[:, 2], color=forecast, alpha=0.2, linewidth=0,
            label=f"{interval:.0%} interval" if first else None,
        )  # fmt: skip
        axis.plot(times, band[:, 1], color=forecast, linewidth=1.3, label="forecast" if first else None)
        axis.axvline(times[0], color="0.75", linewidth=0.6, linestyle=":")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.18 * (high - low))  # room for the legend
    axis.set_ylabel(target)
    if panel.name:
        axis.set_title(panel.name, loc="right", fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.margins(x=0.01)
