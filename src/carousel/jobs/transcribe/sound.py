"""Recordings as log-mel spectra."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.jobs import JobError

FLOOR = 1e-6  # of an energy, before its logarithm: about what rounding to 16 bits leaves


class LogMel(NamedTuple):
    """From samples to the logarithms of energies in bands that are equally wide on the mel scale.

    Frame t is the samples from t * hop on, as many as the window has, times a periodic Hann window; of its power
    spectrum each band takes the sum weighted by a triangle of height 1 that reaches from the middle of the band below
    to the middle of the one above. The mel scale is HTK's, 2595 log10(1 + f / 700) (Young et al., The HTK Book, 5.4).

    Args:
        rate: samples a second; recordings with more are resampled, with fewer refused.
        bands: D, how many.
        window, hop: in seconds.
        channel: None asks for one channel, "mean" averages them, a number takes that one (from 0).

    >>> features = LogMel(rate=8000, bands=20)
    >>> features(torch.randn(8000)).shape
    torch.Size([98, 20])
    """

    rate: int
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    channel: str | int | None = None

    @property
    def width(self) -> int:
        """D, the features of a frame."""
        return self.bands

    @property
    def taken(self) -> int:
        """Samples in a window."""
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop * self.rate)

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples (N,) as frames (T, D); T is 0 where the window is longer than N."""
        if len(samples) < self.taken:
            return samples.new_zeros(0, self.bands)
        frames = samples.unfold(0, self.taken, self.step) * torch.hann_window(self.taken)  # (T, window)
        size = 1 << (self.taken - 1).bit_length()
        power = torch.fft.rfft(frames, size).abs().square()  # (T, size / 2 + 1)
        return (power @ mel_filters(self.rate, size, self.bands).T).clamp(min=FLOOR).log()  # (T, D)

    def read(self, path: Path) -> Tensor:
        """The samples (N,) of a file, at this rate.

        Raises:
            JobError: the file cannot be read, has other channels than asked for, or a lower rate.
        """
        samples, rate = read_samples(path)
        return torch.from_numpy(self.at_rate(self._one_channel(samples, path), rate, path))

    def _one_channel(self, samples: np.ndarray, path: Path) -> np.ndarray:
        count = samples.shape[1]
        if self.channel == "mean":
            return samples.mean(axis=1)
        if isinstance(self.channel, int):
            if not 0 <= self.channel < count:
                raise JobError(f"{path}: has {count} channels, numbered from 0, so there is no channel {self.channel}.")
            return samples[:, self.channel]
        if count != 1:
            raise JobError(
                f"{path}: has {count} channels, expected one; --channel mean averages them, --channel 0 takes one."
            )
        return samples[:, 0]

    def at_rate(self, samples: np.ndarray, rate: int, path: Path) -> np.ndarray:
        """The samples resampled from their rate to this one."""
        if rate < self.rate:
            raise JobError(
                f"{path}: {rate} samples a second, expected at least {self.rate}: what the model listens for is not in "
                f"it. Fit with --rate {rate} to hear only what all recordings have."
            )
        if rate == self.rate:
            return samples
        from scipy.signal import resample_poly

        ratio = Fraction(self.rate, rate)
        return resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)

    def length(self, frames: int) -> float:
        """How many seconds so many frames span."""
        return ((frames - 1) * self.step + self.taken) / self.rate


def read_samples(path: Path) -> tuple[np.ndarray, int]:
    """The samples (N, channels) of a sound file, full scale being 1, and how many there are a second.

    Raises:
        JobError: it cannot be read, holds nothing, or soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError:
        raise JobError("recordings need the package soundfile: pip install carousel-rnn[transcribe].") from None
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
        told = str(error).strip().split("\n")[0]
        raise JobError(f"{path}: not readable as a recording ({told}).") from None
    if not len(samples):
        raise JobError(f"{path}: holds no samples.")
    if not np.isfinite(samples).all():
        raise JobError(f"{path}: holds samples that are no numbers.")
    return samples, int(rate)


def read_rate(path: Path) -> int:
    """Samples a second. Raises JobError as ``read_samples`` does."""
    try:
        import soundfile

        return int(soundfile.info(path).samplerate)
    except (ImportError, OSError, RuntimeError):
        return read_samples(path)[1]


def mel(frequency: float) -> float:
    """Hertz to mel.

    >>> round(mel(1000.0))
    1000
    """
    return 2595 * math.log10(1 + frequency / 700)


def mel_edges(rate: int, bands: int) -> Tensor:
    """Where bands begin, have their middle and end, in hertz: (bands + 2,), from 0 to rate / 2."""
    return 700 * (10 ** (torch.linspace(0, mel(rate / 2), bands + 2, dtype=torch.double) / 2595) - 1)


def band_middles(rate: int, bands: int) -> Tensor:
    """The middle (bands,) of each band in hertz."""
    return mel_edges(rate, bands)[1:-1]


def mel_filters(rate: int, size: int, bands: int) -> Tensor:
    """The triangles (bands, size / 2 + 1) over the bins of a spectrum of ``size`` samples."""
    edges = mel_edges(rate, bands)
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.double)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
