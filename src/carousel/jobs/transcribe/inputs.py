"""From a recording or a line image to what the network reads: features, their scale, several of them in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.jobs.transcribe.image import ImageColumns
from carousel.jobs.transcribe.sound import LogMel

SCALES = ("global", "own", "none")
LEAST = 1e-3  # of a deviation: a feature that hardly moves is not blown up
REACH = 2  # frames on each side from which a delta is taken


class Scale(NamedTuple):
    """How features are scaled: by a mean (D,) and a deviation (D,) of all training data, by each item's own, or not."""

    kind: str
    mean: Tensor | None = None
    deviation: Tensor | None = None

    @classmethod
    def learn(cls, kind: str, parts: list[Tensor]) -> Scale:
        """From the features (T, D) of the training data."""
        if kind != "global":
            return cls(kind)
        count = sum(len(part) for part in parts)
        mean = torch.stack([part.sum(0, dtype=torch.double) for part in parts]).sum(0) / count
        square = torch.stack([(part.double() - mean).square().sum(0) for part in parts]).sum(0) / count
        return cls(kind, mean.float(), square.sqrt().clamp(min=LEAST).float())

    def apply(self, frames: Tensor) -> Tensor:
        """Frames (T, D) scaled."""
        if self.kind == "none" or not len(frames):
            return frames
        mean, deviation = self.mean, self.deviation
        if mean is None or deviation is None:
            mean, deviation = frames.mean(0), frames.std(0, correction=0).clamp(min=LEAST)
        return (frames - mean) / deviation


class Inputs(NamedTuple):
    """What the network reads of an item.

    Frames (T, D) of the features, with ``deltas`` derivatives beside them, are scaled; then every ``stride`` frames one
    step begins, which holds ``stack`` frames side by side. What it holds past the end is zero.

    >>> inputs = Inputs(LogMel(8000, bands=20), Scale("none"), stack=3, stride=3)
    >>> inputs.steps(torch.randn(98, 20)).shape, inputs.count(98)
    (torch.Size([33, 60]), 33)
    """

    features: LogMel | ImageColumns
    scale: Scale
    stack: int = 1
    stride: int = 1
    deltas: int = 0

    @property
    def width(self) -> int:
        """What a step holds."""
        return self.features.width * (1 + self.deltas) * self.stack

    def count(self, frames: int) -> int:
        """The steps of so many frames."""
        return -(-frames // self.stride)

    def frames(self, path: Path) -> Tensor:
        """The features (T, D) of a file, with their deltas. Raises JobError where it cannot be read."""
        return with_deltas(self.features(self.features.read(path)), self.deltas)

    def steps(self, frames: Tensor) -> Tensor:
        """Frames (T, D) scaled, as steps (steps, stack * D)."""
        return stacked(self.scale.apply(frames), self.stack, self.stride)

    def plain(self) -> dict[str, Any]:
        """As in ``model.json``; the scale's numbers stand among the weights."""
        kind = "recordings" if isinstance(self.features, LogMel) else "images"
        return {
            "kind": kind,
            "features": self.features._asdict(),
            "scale": self.scale.kind,
            "stack": self.stack,
            "stride": self.stride,
            "deltas": self.deltas,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any], mean: Tensor | None, deviation: Tensor | None) -> Inputs:
        """As ``plain`` wrote it."""
        kind: Any = {"recordings": LogMel, "images": ImageColumns}[plain["kind"]]
        scale = Scale(plain["scale"], mean, deviation)
        return cls(kind(**plain["features"]), scale, plain["stack"], plain["stride"], plain["deltas"])


def stacked(frames: Tensor, stack: int, stride: int) -> Tensor:
    """Every ``stride`` of the frames (T, D) a step of ``stack`` frames: (ceil(T / stride), stack * D).

    >>> stacked(torch.arange(5.0)[:, None], 3, 2)
    tensor([[0., 1., 2.],
            [2., 3., 4.],
            [4., 0., 0.]])
    """
    steps = -(-len(frames) // stride)
    filled = F.pad(frames, (0, 0, 0, max(0, (steps - 1) * stride + stack - len(frames))))
    return filled.unfold(0, stack, stride)[:steps].transpose(1, 2).flatten(1) if steps else filled.new_zeros(0, stack)


def with_deltas(frames: Tensor, order: int) -> Tensor:
    """Frames (T, D) with the slope of each feature over five frames, and the slope of that: (T, (1 + order) D).

    The slope is that of the regression line (The HTK Book, equation 5.16), the first and last frame being repeated.

    >>> with_deltas(torch.arange(6.0)[:, None], 1)[:, 1]
    tensor([0.5000, 0.8000, 1.0000, 1.0000, 0.8000, 0.5000])
    """
    parts = [frames]
    for _ in range(order if len(frames) else 0):
        T = len(parts[-1])
        places = torch.arange(T)
        ahead = [parts[-1][(places + k).clamp(max=T - 1)] for k in range(1, REACH + 1)]
        behind = [parts[-1][(places - k).clamp(min=0)] for k in range(1, REACH + 1)]
        rises = [k * (a - b) for k, (a, b) in enumerate(zip(ahead, behind, strict=True), 1)]
        parts.append(torch.stack(rises).sum(0) / (2 * sum(k * k for k in range(1, REACH + 1))))
    return torch.cat(parts, 1)
