"""Changed copies of the training data: slower and faster, from shorter and longer throats, larger and smaller."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.inputs import Inputs
from carousel.jobs.transcribe.samples import Sample
from carousel.jobs.transcribe.sound import LogMel, band_middles


class Warp(NamedTuple):
    """Stretches frames (T, D) in time and across features, each by a random factor that is off 1 by up to ``most``.

    Bands are moved as frequencies are when a vocal tract is longer or shorter (Jaitly & Hinton, "Vocal tract length
    perturbation improves speech recognition", ICML workshop 2013), rows as the letters' size changes.

    >>> warp = Warp(0.1, torch.linspace(0, 1, 5))
    >>> warp(torch.randn(30, 5), least=3).shape[1]
    5
    """

    most: float
    places: Tensor  # (D,) of the features, from 0 at the fixed end or middle, in the scale in which they move

    def __call__(self, frames: Tensor, least: int) -> Tensor:
        """Frames (T', D), T' being at least ``least``."""
        slower, wider = (1 + self.most * (2 * torch.rand(2) - 1)).tolist()
        return self._across(self._in_time(frames, max(least, round(slower * len(frames)))), wider)

    def _in_time(self, frames: Tensor, steps: int) -> Tensor:
        return F.interpolate(frames.T[None], steps, mode="linear", align_corners=True)[0].T

    def _across(self, frames: Tensor, factor: float) -> Tensor:
        """What stood at place p comes to stand at p * factor."""
        wanted = (self.places / factor).clamp(self.places[0].item(), self.places[-1].item())
        above = torch.searchsorted(self.places, wanted).clamp(1, len(self.places) - 1)
        low, high = self.places[above - 1], self.places[above]
        part, grouped = (wanted - low) / (high - low), frames.unflatten(1, (-1, len(self.places)))  # deltas beside
        return (grouped[..., above - 1] * (1 - part) + grouped[..., above] * part).flatten(1)


def warp_of(inputs: Inputs, most: float) -> Warp:
    """The warp that fits the features."""
    features = inputs.features
    if isinstance(features, LogMel):
        return Warp(most, band_middles(features.rate, features.bands).float())
    return Warp(most, torch.linspace(-1, 1, features.width))


class Rows(Dataset):
    """What the network reads of each sample, (steps, D), and its labels (S,); with a warp, another each time."""

    def __init__(self, samples: list[Sample], fitted: Fitted, warp: Warp | None = None):
        inputs, least_steps = fitted.inputs, fitted.network.head.least_steps
        self.inputs, self.warp, self.frames = inputs, warp, [sample.frames for sample in samples]
        self.steps = [inputs.steps(frames) for frames in self.frames]
        self.labels = [fitted.alphabet.labels(sample.text) for sample in samples]
        self.least = [least_steps(sample.text) * inputs.stride for sample in samples]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if self.warp is None:
            return self.steps[number], self.labels[number]
        changed = self.warp(self.frames[number], self.least[number])
        return self.inputs.steps(changed), self.labels[number]

    @property
    def lengths(self) -> list[int]:
        """How many steps each has, unchanged."""
        return [len(steps) for steps in self.steps]
