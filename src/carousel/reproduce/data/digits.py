"""The free spoken digit dataset (github.com/Jakobovski/free-spoken-digit-dataset): isolated digits at 8 kHz."""

from __future__ import annotations

import io
import re
import wave
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
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
