"""The panels of `plot_gates`. Legend: T time, w a width."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.watch.drawing import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 6
MOST_LABELS = 80


def draw_gates(
    title: str, panels: Mapping[str, np.ndarray], gates: Collection[str], labels: Sequence[Any] | None
) -> Figure:
    """One panel for each quantity (T, w), gates on a scale from 0 to 1."""
    from matplotlib.figure import Figure

    T = max(map(len, panels.values()))
    few = {name: values.shape[1] <= MOST_LINES for name, values in panels.items()}
    heights = [1.0 if few[name] else min(1.8, 0.8 + values.shape[1] / 40) for name, values in panels.items()]
    size = (min(16.0, max(7.0, 2 + T * 0.17)), 0.9 + 1.25 * sum(heights))
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    column = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (name, values) in zip(column, panels.items(), strict=True):
        closes = name in gates and bool(np.all((values >= 0) & (values <= 1)))
        (_lines if few[name] else _heat)(axis, values, closes)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    column[0].set_xlim(-0.5, T - 0.5)
    _steps(column[-1], T, labels)
    _name_units(list(column), list(few.values()))
    figure.suptitle(title if all(few.values()) else f"{title}, a row for each unit", x=0.01, ha="left", fontsize=11)
    return figure


def _lines(axis: Axes, values: np.ndarray, closes: bool) -> None:
    steps = np.arange(len(values))
    for unit, row in enumerate(values.T):
        marker = "." if len(steps) < 2 else None
        axis.plot(steps, row, color=COLOURS[unit], linewidth=1.4, label=f"unit {unit}", marker=marker)
    if closes:
        axis.set_ylim(-0.04, 1.04)
        axis.set_yticks([0, 0.5, 1])
    else:
        axis.axhline(0, color="0.8", linewidth=0.7, zorder=0)
    axis.spines[["top", "right"]].set_visible(False)


def _name_units(axes: Sequence[Axes], lines: Sequence[bool]) -> None:
    """One legend, above the first panel of lines that has several."""
    for axis, is_lines in zip(axes, lines, strict=True):
        if is_lines and len(axis.get_legend_handles_labels()[0]) > 1:
            axis.legend(frameon=False, fontsize=8, ncols=MOST_LINES, loc="lower right", bbox_to_anchor=(1, 1))
            return


def _heat(axis: Axes, values: np.ndarray, closes: bool) -> None:
    finite = np.abs(values[np.isfinite(values)])
    top = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    scale = {"cmap": "cividis", "vmin": 0, "vmax": 1} if closes else {"cmap": "RdBu_r", "vmin": -top, "vmax": top}
    image = axis.imshow(values.T, aspect="auto", interpolation="nearest", origin="lower", **scale)  # type: ignore[arg-type]
    axis.set_yticks([0, values.shape[1] - 1])
    axis.tick_params(axis="y", labelsize=8)
    axis.figure.colorbar(image, ax=axis, pad=0.01, fraction=0.03).ax.tick_params(labelsize=8)


def _steps(axis: Axes, T: int, labels: Sequence[Any] | None) -> None:
    """The time axis, with a label at each step, or at every few where they would not fit."""
    if labels is None:
        axis.set_xlabel("step")
        axis.locator_params(axis="x", integer=True)
        return
    shown = range(0, T, -(-T // MOST_LABELS))
    texts = ["␣" if labels[k] == " " else str(labels[k]) for k in shown]
    axis.set_xticks(shown, texts, rotation=0 if max(map(len, texts), default=0) < 3 else 90)
    axis.set_xlabel("input at each step")
