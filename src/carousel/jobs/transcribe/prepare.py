"""Before training: items found and read, divided, scaled; the alphabet."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Console

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.jobs.transcribe.image import ImageColumns
from carousel.jobs.transcribe.inputs import Inputs, Scale
from carousel.jobs.transcribe.model import MODELS
from carousel.jobs.transcribe.reading import Item, find, kind
from carousel.jobs.transcribe.samples import Fault, Sample, divide, never_taught, read_samples, refuse
from carousel.jobs.transcribe.sound import LogMel, read_rate

BY_KIND: dict[str, dict[str, Any]] = {
    "recordings": {"scale": "global", "stack": 3},
    "images": {"scale": "none", "stack": 2},
}


class Prepared(NamedTuple):
    """What training needs: the inputs, the alphabet, the samples of each part, and what is told of them."""

    inputs: Inputs
    alphabet: Alphabet
    parts: dict[str, list[Sample]]
    how: str  # they were divided
    faults: list[Fault]  # left out

    @property
    def all(self) -> list[Sample]:
        """The samples of all parts."""
        return [sample for part in self.parts.values() for sample in part]

    @property
    def untaught(self) -> list[str]:
        """Characters of the held-out parts that training never shows."""
        return never_taught(self.parts["training"], self.parts["validation"] + self.parts["test"])


def prepare(data: Any, settings: dict[str, Any], skip_faulty: bool, console: Console | None) -> Prepared:
    """Find, read, divide, scale.

    Raises:
        JobError: the data will not do.
    """
    items = find(data)
    inputs = make_inputs(items, settings)
    samples, faults = read_samples(items, inputs, MODELS[settings["model"]].least_steps, console)
    refuse(faults, len(items), skip_faulty)
    chosen, how = divide([sample.item for sample in samples], settings["seed"])
    parts = {name: [samples[k] for k in found] for name, found in chosen.items()}
    scale = Scale.learn(inputs.scale.kind, [sample.frames for sample in parts["training"]])
    alphabet = Alphabet.of(sample.text for sample in samples)
    return Prepared(inputs._replace(scale=scale), alphabet, parts, how, faults)


def make_inputs(items: list[Item], settings: dict[str, Any]) -> Inputs:
    """The inputs that fit the kind of the items, with their scale still to be learned."""
    given = kind(items)
    defaults = BY_KIND[given]
    features = _listening(items, settings) if given == "recordings" else _looking(settings)
    stack = settings["stack"] or defaults["stack"]
    return Inputs(
        features,
        Scale(settings["scale"] or defaults["scale"]),
        stack,
        settings["stride"] or stack,
        settings["deltas"],
    )


def _listening(items: list[Item], settings: dict[str, Any]) -> LogMel:
    rate = settings["rate"] or _common_rate(items)
    channel = settings["channel"]
    return LogMel(rate, settings["bands"], channel=int(channel) if str(channel).isdigit() else channel)


def _looking(settings: dict[str, Any]) -> ImageColumns:
    return ImageColumns(settings["height"], settings["line"])


def _common_rate(items: list[Item]) -> int:
    """The rate of all recordings that can be read. Raises JobError where they differ."""
    rates: dict[int, Item] = {}
    fault: JobError | None = None
    for item in items:
        try:
            rates.setdefault(read_rate(item.path), item)
        except JobError as error:
            fault = fault or error
    if fault is not None and not rates:
        raise fault
    if len(rates) > 1:
        low, high = min(rates), max(rates)
        raise JobError(
            f"sampling rates differ: {rates[low].path} has {low} samples a second, {rates[high].path} {high}; "
            f"--rate {low} brings all to the lowest."
        )
    return next(iter(rates))
