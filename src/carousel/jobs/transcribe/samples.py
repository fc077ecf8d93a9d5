"""Items read into memory, what is wrong with them, and which of them train, validate and test."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from torch import Tensor

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.jobs.transcribe.inputs import Inputs
from carousel.jobs.transcribe.reading import SPLITS, Item, sidecars

HELD_OUT = 0.1  # for validation, and as much for the test
NAMED = 3  # so many faulty files are named in an error


class Sample(NamedTuple):
    """An item with its features (T, D)."""

    item: Item
    frames: Tensor

    @property
    def text(self) -> str:
        """Its transcript."""
        assert self.item.text is not None
        return self.item.text


class Fault(NamedTuple):
    """Why an item will not do."""

    path: Path
    why: str


def read_samples(
    items: list[Item], inputs: Inputs, least_steps: Callable[[str], int] | None, console: Console | None
) -> tuple[list[Sample], list[Fault]]:
    """What can be read, and what is wrong with the others; with ``least_steps``, items need a text that fits."""
    samples, faults = [], []
    shown = console is not None and console.is_terminal
    for item in track(items, "reading", console=console, disable=not shown, transient=True):
        try:
            sample = Sample(item, inputs.frames(item.path))
        except JobError as error:
            faults.append(Fault(item.path, str(error).removeprefix(f"{item.path}: ")))
            continue
        why = _why_not(sample, inputs, least_steps)
        if why:
            faults.append(Fault(item.path, why))
        else:
            samples.append(sample)
    return samples, faults


def _why_not(sample: Sample, inputs: Inputs, least_steps: Callable[[str], int] | None) -> str:
    """What is wrong with a sample, or nothing."""
    text, steps = sample.item.text, inputs.count(len(sample.frames))
    if not steps:
        return "is shorter than one window of the features."
    if least_steps is None:
        return ""
    if text is None:
        looked = ", ".join(one.name for one in sidecars(sample.item.path))
        return f"has no transcript (looked for {looked}, and for a column text)."
    if not text:
        return "has an empty transcript."
    if steps < least_steps(text):
        return f"is too short for its text: {steps} steps, its {len(text)} characters need {least_steps(text)}."
    return ""


def refuse(faults: list[Fault], total: int, skip: bool) -> None:
    """Raise JobError where items are faulty, unless they are to be left out and some are left."""
    if not faults or (skip and len(faults) < total):
        return
    first = faults[0]
    more = [str(fault.path) for fault in faults[1 : 1 + NAMED]]
    others = f" So it is, or the like, with {len(faults) - 1} more ({', '.join(more)}" if more else ""
    others += (", ...)." if len(faults) > 1 + NAMED else ").") if more else ""
    fix = "" if skip else " --skip-faulty leaves such files out."
    raise JobError(f"{first.path}: {first.why}{others}{fix}")


def refuse_unknown(samples: Iterable[Sample], alphabet: Alphabet) -> None:
    """Raise JobError where a transcript has characters that the model cannot write."""
    for sample in samples:
        unknown = alphabet.unknown(sample.text)
        if unknown:
            raise JobError(
                f"{sample.item.path}: its transcript has {' '.join(unknown)}, which the model was not fitted on and "
                f"cannot write; --unknown-as-errors counts such characters as errors."
            )


def divide(items: list[Item], seed: int) -> tuple[dict[str, list[int]], str]:
    """Which items train, validate and test, and in words how that was decided.

    By the column split where there is one; else whole speakers are held out where there is a column of them; else a
    tenth for each, drawn by the seed. Where a column split has no validation, a tenth of its training is taken.

    Raises:
        JobError: there are too few, or some have a split or a speaker and some have none.
    """
    for name in ("split", "speaker"):
        missing = [item for item in items if getattr(item, name) is None]
        if missing and len(missing) < len(items):
            raise JobError(
                f"{missing[0].path}: has no {name}, but others have; fill the column {name}, or leave it out."
            )
    rng = random.Random(seed)
    if items[0].split is not None:
        return _by_split(items, rng)
    if items[0].speaker is not None:
        return _by_speaker(items, rng)
    parts = _drawn(list(range(len(items))), rng)
    _check(parts, f"{len(items)} items")
    return parts, f"a tenth for validation and a tenth for the test, drawn by seed {seed}"


def _by_split(items: list[Item], rng: random.Random) -> tuple[dict[str, list[int]], str]:
    parts = {name: [k for k, item in enumerate(items) if item.split == name] for name in SPLITS}
    how = "by the column split"
    if not parts["validation"]:
        drawn = _drawn(parts["training"], rng)
        parts["training"], parts["validation"] = sorted(drawn["training"] + drawn["test"]), drawn["validation"]
        how += ", and a tenth of its training for validation"
    _check({name: parts[name] for name in SPLITS[:2]}, "what the column split marks as training")
    return parts, how


def _by_speaker(items: list[Item], rng: random.Random) -> tuple[dict[str, list[int]], str]:
    speakers = sorted({str(item.speaker) for item in items})
    of = _drawn(list(range(len(speakers))), rng)
    _check(of, f"{len(speakers)} speakers (the column speaker), each of whom is held out whole or not at all,")
    names = {name: [speakers[k] for k in of[name]] for name in SPLITS}
    parts = {name: [k for k, item in enumerate(items) if item.speaker in names[name]] for name in SPLITS}
    held = [f"{name} {', '.join(names[name])}" for name in SPLITS[1:]]
    return parts, f"whole speakers are held out: {'; '.join(held)}"


def _drawn(numbers: list[int], rng: random.Random) -> dict[str, list[int]]:
    """A tenth, and at least one, for validation and for the test."""
    mixed, held = list(numbers), max(1, round(HELD_OUT * len(numbers)))
    rng.shuffle(mixed)
    cut = {"training": mixed[2 * held :], "validation": mixed[:held], "test": mixed[held : 2 * held]}
    return {name: sorted(part) for name, part in cut.items()}


def _check(parts: dict[str, list[int]], given: str) -> None:
    if not all(parts.values()):
        raise JobError(f"{given} are too few to train, validate and test; expected at least 3.")


def never_taught(training: Iterable[Sample], others: Iterable[Sample]) -> list[str]:
    """The characters that only the others have, the most frequent first."""
    taught = set("".join(sample.text for sample in training))
    counted = Counter("".join(sample.text for sample in others))
    return [character for character, _ in counted.most_common() if character not in taught]


def fingerprint(samples: Iterable[Sample]) -> str:
    """A hash of all that training reads."""
    total = hashlib.sha256()
    for sample in samples:
        total.update(f"{sample.text}\n{sample.item.split}\n{sample.item.speaker}\n".encode())
        total.update(sample.frames.contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
