"""Where in a recording or line image each character and word stands."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError
from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.head import Marks
from carousel.jobs.transcribe.inputs import Inputs
from carousel.jobs.transcribe.samples import Sample
from carousel.jobs.transcribe.sound import LogMel


class Span(NamedTuple):
    """A character or a word, from where to where (seconds, or pixels), and how probable it is there, 0 to 1."""

    text: str
    start: float
    end: float
    probability: float


class Ruler(NamedTuple):
    """From steps to seconds of a recording or pixels of an image."""

    unit: str
    offset: float  # of the first step's beginning
    step: float
    length: float  # of the whole

    @classmethod
    def of(cls, inputs: Inputs, sample: Sample) -> Ruler:
        """The ruler of one item."""
        features = inputs.features
        if isinstance(features, LogMel):
            frame, length = features.step / features.rate, features.length(len(sample.frames))
            unit, first = "s", (features.taken - features.step) / 2 / features.rate
        else:
            length = float(features.read(sample.item.path).shape[1])
            unit, first, frame = "pixels", 0.0, length / len(sample.frames)
        middle = (inputs.stack - inputs.stride) / 2  # the middle ``stride`` frames of a step are its own
        return cls(unit, first + middle * frame, inputs.stride * frame, length)

    def place(self, step: float) -> float:
        """Where a step begins."""
        return min(max(self.offset + step * self.step, 0.0), self.length)


class Aligned(NamedTuple):
    """An item with its text, the spans of characters (spaces left out) and of words, and the network's marks."""

    sample: Sample
    text: str
    characters: list[Span]
    words: list[Span]
    ruler: Ruler
    marks: Marks
    inputs: Inputs


def align(fitted: Fitted, samples: list[Sample], texts: list[str], batch_size: int) -> list[Aligned]:
    """Lay the texts along the samples, on the most probable path that gives them.

    Raises:
        JobError: a text has characters that the model cannot write, or needs more steps than there are.
    """
    read = fitted.outputs([sample.frames for sample in samples], batch_size)
    return [_aligned(fitted, *one) for one in zip(samples, texts, read, strict=True)]


def _aligned(fitted: Fitted, sample: Sample, text: str, read: Tensor) -> Aligned:
    ruler = Ruler.of(fitted.inputs, sample)
    try:
        with torch.no_grad():
            marks = fitted.network.head.align(read, fitted.alphabet.labels(text))
    except ValueError as error:
        raise JobError(f"{sample.item.path}: {error}") from None
    places = zip(text, marks.starts, marks.ends, marks.probabilities, strict=True)
    spans = [Span(one, ruler.place(start), ruler.place(end), probable) for one, start, end, probable in places]
    groups = itertools.groupby(spans, key=lambda span: span.text == " ")
    words = [_word(list(group)) for is_space, group in groups if not is_space]
    return Aligned(sample, text, [span for span in spans if span.text != " "], words, ruler, marks, fitted.inputs)


def _word(spans: list[Span]) -> Span:
    """From the first character's begin to the last one's end; as probable as they are in the mean (geometric)."""
    nats = sum(math.log(max(span.probability, 1e-300)) for span in spans) / len(spans)
    return Span("".join(span.text for span in spans), spans[0].start, spans[-1].end, math.exp(nats))


def rows(aligned: list[Aligned]) -> list[dict[str, str | float]]:
    """A row for each word and each character, in the order of a table."""
    return [
        {"path": str(one.sample.item.path), "unit": unit, **span._asdict()}
        for one in aligned
        for unit, spans in (("word", one.words), ("character", one.characters))
        for span in spans
    ]


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """Raise JobError unless files can be written there."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise JobError(f"{folder} is a file, expected a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise JobError(f"{folder} is not empty; use --overwrite to replace what is there, or choose another.")


def write_plots(folder: Path, aligned: list[Aligned]) -> None:
    """A PNG of each, NAME.png."""
    from carousel.jobs.transcribe.plot import plot_alignment

    folder.mkdir(parents=True, exist_ok=True)
    for name, one in _named(aligned):
        plot_alignment(folder / f"{name}.png", one)


def write_text_grids(folder: Path, aligned: list[Aligned]) -> None:
    """A TextGrid of each recording, NAME.TextGrid. Raises JobError for images."""
    if aligned[0].ruler.unit != "s":
        raise JobError("TextGrids are for recordings, but these are images; take --output FILE.csv.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in _named(aligned):
        (folder / f"{name}.TextGrid").write_text(text_grid(one), encoding="utf-8")


def _named(aligned: list[Aligned]) -> Iterator[tuple[str, Aligned]]:
    """Each with the name of its file, or where two have the same, with its folder's before it."""
    stems = [one.sample.item.path.stem for one in aligned]
    for stem, one in zip(stems, aligned, strict=True):
        twice = stems.count(stem) > 1
        yield (f"{one.sample.item.path.parent.name}_{stem}" if twice else stem), one


def text_grid(aligned: Aligned) -> str:
    """The alignment as Praat's TextGrid, with a tier of words and one of characters.

    What lies between spans is an empty interval. The format is that of Praat's manual, "TextGrid file formats".
    """
    tiers = (("words", aligned.words), ("characters", aligned.characters))
    parts = [_tier(number, name, spans, aligned.ruler.length) for number, (name, spans) in enumerate(tiers, 1)]
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {aligned.ruler.length}"]
    return "\n".join([*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:", *parts]) + "\n"


def _tier(number: int, name: str, spans: list[Span], length: float) -> str:
    tiled: list[tuple[float, float, str]] = []
    at = 0.0
    for span in spans:
        if span.start > at:
            tiled.append((at, span.start, ""))
        tiled.append((max(at, span.start), span.end, span.text))
        at = span.end
    if at < length:
        tiled.append((at, length, ""))
    lines = [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
    lines += ["        xmin = 0", f"        xmax = {length}", f"        intervals: size = {len(tiled)}"]
    for place, (start, end, text) in enumerate(tiled, 1):
        quoted = text.replace('"', '""')
        lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {end}"]
        lines.append(f'            text = "{quoted}"')
    return "\n".join(lines)
