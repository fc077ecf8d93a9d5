<<<<<<< HEAD
"""The free spoken digit dataset (github.com/Jakobovski/free-spoken-digit-dataset): isolated digits at 8 kHz."""
=======
"""Spoken digits: the Free Spoken Digit Dataset, whose recordings are joined into strings of digits."""
>>>>>>> aeab0f5 (Reproduce: spoken digit strings and printed lines, by carousel transcribe)

from __future__ import annotations

import io
<<<<<<< HEAD
import re
import wave
import zipfile
=======
import random
import re
import zipfile
from collections.abc import Sequence
>>>>>>> aeab0f5 (Reproduce: spoken digit strings and printed lines, by carousel transcribe)
from pathlib import Path
from typing import NamedTuple

import numpy as np
<<<<<<< HEAD
import torch
from torch import Tensor

from carousel.jobs import JobError

FILE = "fsdd/fsdd_recordings.zip"
RATE = 8000
NAME = re.compile(r"(\d)_(\w+)_(\d+)\.wav")


class Recording(NamedTuple):
    """One digit, once; the usual split tests on those with a `take` below 5."""

    samples: Tensor  # (N,), full scale being 1
    digit: int
    speaker: str
    take: int


def read(path: Path) -> list[Recording]:
    """All recordings of the archive, by digit, speaker and take.

    Raises:
        JobError: it is no such archive.
    """
    try:
        with zipfile.ZipFile(path) as files:
            found = [(NAME.fullmatch(Path(name).name), name) for name in files.namelist() if name.endswith(".wav")]
            recordings = [
                Recording(_samples(files.read(name)), int(match[1]), match[2], int(match[3]))
                for match, name in found
                if match
            ]
    except (OSError, zipfile.BadZipFile, wave.Error, EOFError) as error:
        raise JobError(f"{path}: not an archive of spoken digits ({error}).") from None
    if not recordings:
        raise JobError(f"{path}: holds no recordings such as 0_george_0.wav.")
    return sorted(recordings, key=lambda one: one[1:])


def _samples(content: bytes) -> Tensor:
    with wave.open(io.BytesIO(content)) as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if form != (1, 2, RATE):
            raise wave.Error(f"channels, bytes a sample and rate are {form}, expected {(1, 2, RATE)}")
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return torch.from_numpy(values.astype(np.float32) / 2**15)
=======

from carousel.jobs import JobError

RATE = 8000
NAME = re.compile(r"recordings/(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav")


class Recording(NamedTuple):
    """One digit: who said it, which take of it this is, and the samples (N,) of 16 bits, 8,000 a second."""

    digit: str
    speaker: str
    take: int
    samples: np.ndarray


def read(path: Path) -> list[Recording]:
    """The recordings of the archive, in the order of their names.

    Raises:
        JobError: it is no zip file, or a recording in it is damaged or of another rate.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [match for name in sorted(archive.namelist()) if (match := NAME.fullmatch(name))]
            found = [(match, archive.read(match[0])) for match in names]
    except (OSError, zipfile.BadZipFile) as error:
        raise JobError(f"{path}: not readable as a zip file ({error}).") from None
    if not found:
        raise JobError(f"{path}: holds no recordings/DIGIT_SPEAKER_TAKE.wav.")
    return [Recording(match["digit"], match["speaker"], int(match["take"]), _samples(path, match[0], data))
            for match, data in found]  # fmt: skip


def _samples(path: Path, name: str, data: bytes) -> np.ndarray:
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    except RuntimeError as error:
        raise JobError(f"{path}, {name}: not readable as a recording ({error}).") from None
    if rate != RATE or samples.ndim != 1:
        raise JobError(f"{path}, {name}: {rate} samples a second, shape {samples.shape}, expected {RATE} and (N,).")
    return samples


def write_strings(
    folder: Path, pool: Sequence[Recording], count: int, most: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Join recordings of the pool into strings of 1 to ``most`` digits, write each as a file, and give path and text.

    The lengths are drawn equally often, and the recordings with replacement; they follow one another with no pause.
    """
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        chosen = rng.choices(pool, k=rng.randint(1, most))
        path = folder / f"{number:05}.wav"
        soundfile.write(path, np.concatenate([one.samples for one in chosen]), RATE, subtype="PCM_16")
        rows.append((str(path), "".join(one.digit for one in chosen)))
    return rows
>>>>>>> aeab0f5 (Reproduce: spoken digit strings and printed lines, by carousel transcribe)
