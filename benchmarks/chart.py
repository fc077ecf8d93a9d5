"""A drawing of how many times as fast as `torch.nn.LSTM` our layers are, shape by shape: SVG for light and dark pages.

Dots on a logarithmic scale, so that twice as fast and half as fast are equally far from one. The text stays text, and
nothing in the file depends on when it was made.
"""

from __future__ import annotations

import io
from typing import Any

from benchmarks.marks import geometric_mean
from benchmarks.parts import LSTM, PEEPHOLE
from benchmarks.rivals import BASELINE

PARTS = ("lstm", "bidirectional")
PANELS = {"forward": "forward", "training": "forward and backward"}
SIDES = {LSTM: ("carousel.LSTM", "o", 1.0), PEEPHOLE: ("peephole LSTM, written as equations", "D", 0.6)}
INK = {
    "light": {"text": "#1f2328", "quiet": "#59636e", "line": "#d1d9e0", LSTM: "#0969da", PEEPHOLE: "#bc4c00"},
    "dark": {"text": "#f0f6fc", "quiet": "#9198a1", "line": "#3d444d", LSTM: "#4493f8", PEEPHOLE: "#f0883e"},
}


def draw(results: dict[str, Any], threads: int, theme: str) -> str:
    """The SVG of the results with that many threads."""
    import matplotlib

    ink = INK[theme]
    rows = [row for row in results["rows"] if row["part"] in PARTS and row["threads"] == threads]
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "carousel", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(style | dict.fromkeys(("text.color", "xtick.color", "ytick.color"), ink["text"])):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 1.5 + 0.24 * (len(shapes) + 1)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        for axes, mode in zip(panels, PANELS, strict=True):
            panel(axes, [row for row in rows if row["mode"] == mode], shapes, mode, ink)
        panels[0].annotate("(T, B, I, H)", (-0.02, 1.01), xycoords="axes fraction", ha="right", color=ink["quiet"])
        entries = panels[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside lower right", ncols=2, frameon=False, handletextpad=0.2)
        plural = "s" * (threads > 1)
        title = f"Times as fast as {BASELINE}, float32, {threads} thread{plural}, {results['about']['cpu']}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return written.getvalue()


def panel(axes: Any, rows: list[dict[str, Any]], shapes: list[str], mode: str, ink: dict[str, str]) -> None:
    """One mode: a line a shape, and the geometric mean below."""
    from matplotlib.ticker import FixedLocator, NullLocator

    places = [*range(len(shapes)), len(shapes) + 0.4]
    for side, (label, marker, size) in SIDES.items():
        ratios = {row["shape"]: row["ratio"] for row in rows if row["side"] == side}
        values = [*(ratios[shape] for shape in shapes), geometric_mean(ratios.values())]
        if side == LSTM:
            axes.hlines(places, 1, values, color=ink["line"], linewidth=1.5, zorder=1)
            axes.annotate(f"{values[-1]:.2f}×", (values[-1], places[-1]), (7, -3), textcoords="offset points")
        axes.scatter(values, places, s=36 * size, marker=marker, color=ink[side], label=label, zorder=3, linewidths=0)
    axes.axvline(1, color=ink["quiet"], linewidth=1.2, zorder=2)
    axes.axhline(len(shapes) - 0.3, color=ink["line"], linewidth=0.8)
    axes.set_title(PANELS[mode], loc="left", fontsize=9, color=ink["quiet"])
    axes.set_xscale("log", base=2)
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if span(axes)[0] <= tick <= span(axes)[1]]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}×" for tick in ticks])
    axes.set_yticks(places, [*shapes, "geometric mean"])
    axes.set_ylim(len(shapes) + 1, -0.7)
    axes.grid(axis="x", color=ink["line"], linewidth=0.6)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def span(axes: Any) -> tuple[float, float]:
    low, high = axes.get_xlim()
    return low / 1.05, high * 1.05
