"""The plot of an alignment: characters over the spectrogram or the image, and what the network puts out below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from carousel.jobs.transcribe.alignment import Aligned
from carousel.jobs.transcribe.image import read_grey
from carousel.jobs.transcribe.sound import LogMel, band_middles

CHARACTER, BLANK_COLOUR = "#d1495b", "0.7"
TICKS = (100, 300, 1000, 3000, 10000)  # hertz


def plot_alignment(path: Path, aligned: Aligned) -> None:
    """Write it as a PNG."""
    from matplotlib.figure import Figure

    features, grey = aligned.inputs.features, None
    wide, high = min(24.0, max(6.0, 0.16 * len(aligned.text) + 3)), 2.4
    if not isinstance(features, LogMel):
        grey = read_grey(aligned.sample.item.path)
        high = min(3.0, max(0.5, 0.88 * wide * grey.shape[0] / grey.shape[1]))  # pixels about as wide as high
    figure = Figure(figsize=(wide, high + 2.4), dpi=130, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(high, 1.2))
    if isinstance(features, LogMel):
        _spectrogram(above, aligned, features)
    else:
        _line(above, grey)
    _characters(above, aligned)
    _outputs(below, aligned)
    unit = "time in seconds" if aligned.ruler.unit == "s" else "pixels from the left"
    below.set_xlabel(unit)
    below.set_xlim(0, aligned.ruler.length)
    figure.suptitle(
        f"{aligned.sample.item.path.name}: where the network marks each character", x=0.01, ha="left", fontsize=11
    )
    figure.savefig(path)


def _spectrogram(axis: Any, aligned: Aligned, features: LogMel) -> None:
    energies = aligned.sample.frames[:, : features.bands].T.numpy()
    first, step = (features.taken - features.step) / 2 / features.rate, features.step / features.rate
    extent = (first, first + step * energies.shape[1], -0.5, features.bands - 0.5)
    axis.imshow(energies, origin="lower", aspect="auto", extent=extent, cmap="Greys", interpolation="nearest")
    middles = band_middles(features.rate, features.bands).numpy()
    shown = [hertz for hertz in TICKS if middles[0] <= hertz <= middles[-1]]
    axis.set_yticks(np.interp(shown, middles, np.arange(features.bands)), [f"{hertz:,}" for hertz in shown])
    axis.set_ylabel("hertz")


def _line(axis: Any, grey: Any) -> None:
    axis.imshow(grey, aspect="auto", extent=(0, grey.shape[1], grey.shape[0], 0), cmap="gray", vmin=0, vmax=1)
    axis.set_ylabel("pixels\nfrom the top")


def _characters(axis: Any, aligned: Aligned) -> None:
    """Each where it stands, written above the plot."""
    for span in aligned.characters:
        axis.axvspan(span.start, span.end, color=CHARACTER, alpha=0.25, linewidth=0)
        middle = (span.start + span.end) / 2
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        axis.annotate(span.text, (middle, 1.01), color=CHARACTER, fontsize=9, annotation_clip=False, **place)
    for span in aligned.words:
        axis.axvline(span.start, color=CHARACTER, linewidth=0.6, linestyle=":")


def _outputs(axis: Any, aligned: Aligned) -> None:
    """The probability of the blank, and of the most probable character."""
    marks = aligned.marks
    middles = [aligned.ruler.place(step + 0.5) for step in range(len(marks.blank))]
    axis.plot(middles, marks.blank, color=BLANK_COLOUR, linewidth=1.2, label="blank")
    axis.plot(middles, marks.character, color=CHARACTER, linewidth=1.2, label="most probable character")
    axis.set_ylim(0, 1.3)
    axis.set_yticks((0, 0.5, 1))
    axis.set_ylabel("probability")
    axis.legend(loc="upper right", frameon=False, ncols=2, fontsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
