"""The plot of an error flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carousel.watch.result import ErrorFlow, LayerFlow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f3a5f", "#d1495b", "#edae49", "#3a7d44", "#7b4fa3", "#00798c")


def draw_flow(flow: ErrorFlow) -> Figure:
    """Two panels a layer: the norms by lag, and the spectral radius and largest singular value of single steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 0.5 + 2.9 * len(flow)), dpi=130, layout="constrained")
    grid = figure.subplots(len(flow), 2, squeeze=False, width_ratios=(3, 2))
    for (left, right), layer in zip(grid, flow.values(), strict=True):
        _norms(left, layer)
        _radii(right, layer)
        for axis in (left, right):
            axis.spines[["top", "right"]].set_visible(False)
            axis.margins(x=0.02)
            axis.set_xlabel("lag (steps back)")
    figure.suptitle("How much error reaches earlier steps", x=0.01, ha="left", fontsize=11)
    return figure


def _norms(axis: Axes, layer: LayerFlow) -> None:
    for k, (state, norms) in enumerate(layer.norms.items()):
        shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
        if np.isnan(shown).all():
            label = f"{state}: no error arrives" if not np.any(norms) else f"{state}: beyond all numbers"
            axis.plot([], [], color=COLOURS[k % len(COLOURS)], label=label)
            continue
        rate = layer.rate(state)
        label = f"{state} {layer.verdict(state)}" + ("" if np.isnan(rate) else f", {rate:.3g} a step")
        marker = "o" if np.isfinite(shown).sum() < 2 else None
        axis.plot(layer.lags, shown, color=COLOURS[k % len(COLOURS)], linewidth=1.5, label=label, marker=marker)
    axis.set_yscale("log")
    axis.set_ylabel("norm of the gradient")
    axis.set_title(f"{layer.name}: {layer.cell}", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=8.5)
    low, high = axis.get_ylim()
    if high / low < 100:  # a level line is not to look like mountains
        middle = np.sqrt(low * high)
        axis.set_ylim(middle / 10, middle * 10)


def _radii(axis: Axes, layer: LayerFlow) -> None:
    axis.set_title("one step's Jacobian", loc="left", fontsize=10)
    if not len(layer.jacobian_lags):
        axis.text(0.5, 0.5, "not taken", transform=axis.transAxes, ha="center", color="0.5")
        return
    axis.axhline(1, color="0.75", linewidth=0.8, zorder=0)
    for values, colour, label in (
        (layer.largest_singular_value, "#9aa5b1", "largest singular value"),
        (layer.spectral_radius, COLOURS[0], "spectral radius"),
    ):
        marker = "o" if len(values) < 3 else None
        axis.plot(layer.jacobian_lags, values, color=colour, linewidth=1.5, label=label, marker=marker)
    axis.set_ylim(bottom=0)
    top = axis.get_ylim()[1]
    axis.set_ylim(top=max(top, 1.1) * 1.2)  # room for the legend
    axis.legend(frameon=False, fontsize=8.5, loc="upper right")
