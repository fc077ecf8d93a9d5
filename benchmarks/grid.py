"""The shapes that are measured, and the data that goes with each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch


@dataclass(frozen=True)
class Shape:
    """One layer on one batch: T steps, B rows, I input features, H hidden units."""

    T: int
    B: int
    I: int
    H: int
    bidirectional: bool = False
    resets: float = 0.0  # the share of steps that reset their row
    ragged: tuple[int, int] | None = None  # lengths uniform in [low, high)
    num_layers: int = 1

    @property
    def name(self) -> str:
        extra = f" {self.num_layers} layers" * (self.num_layers > 1) + " bidirectional" * self.bidirectional
        extra += f" resets {self.resets:.0%}" * (self.resets > 0)
        extra += f" lengths [{self.ragged[0]},{self.ragged[1]})" if self.ragged else ""
        return f"({self.T},{self.B},{self.I},{self.H}){extra}"

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def latency(self) -> bool:
        """Whether the call outweighs its arithmetic: above this, four times `torch.nn.LSTM`'s speed is above the
        processor's peak."""
        return self.T * self.B * self.H <= 20_000

    @property
    def inputs(self) -> list[int]:
        """The features that each direction of each layer reads, in the order of PyTorch's parameters."""
        above = (self.num_layers - 1) * self.directions
        return [self.I] * self.directions + [self.directions * self.H] * above

    def flops(self, steps: int, training: bool) -> int:
        """Floating-point operations of the matrix products over `steps` row-steps (four gates)."""
        forward = 2 * steps * 4 * self.H * sum(features + self.H for features in self.inputs)
        return 3 * forward if training else forward


SHAPES = (
    Shape(100, 64, 512, 512),
    Shape(100, 16, 512, 512),
    Shape(25, 16, 512, 512),
    Shape(150, 16, 256, 256),
    Shape(50, 32, 128, 256),
    Shape(101, 1, 512, 512),
    Shape(365, 256, 32, 64),
    Shape(365, 256, 32, 128),
    Shape(128, 128, 256, 256, resets=0.03),
    Shape(24, 32, 1, 25),
    Shape(784, 32, 1, 128),
    Shape(1000, 8, 32, 128),
    Shape(1, 1, 256, 256),
    Shape(150, 1, 256, 256),
    Shape(63, 1, 24, 32, bidirectional=True),
    Shape(100, 16, 512, 512, ragged=(30, 100)),
)

STACKED = (
    Shape(100, 16, 64, 128, bidirectional=True, num_layers=2),
    Shape(63, 1, 24, 32, bidirectional=True, num_layers=2),
    Shape(50, 32, 128, 256, bidirectional=True, num_layers=2),
)

RESETS = (
    Shape(128, 128, 256, 256, resets=0.03),
    Shape(100, 16, 512, 512, resets=0.03),
    Shape(365, 256, 32, 64, resets=0.03),
)

LARGE = (Shape(100, 64, 512, 512), Shape(100, 16, 512, 512), Shape(128, 128, 256, 256))

QUICK = (
    Shape(12, 4, 8, 16),
    Shape(7, 2, 3, 5, bidirectional=True),
    Shape(16, 3, 4, 8, resets=0.1),
    Shape(16, 5, 4, 8, ragged=(3, 16)),
    Shape(6, 3, 4, 5, bidirectional=True, num_layers=2),
)


class Data(NamedTuple):
    """What every side of one comparison is given."""

    x: torch.Tensor  # (T, B, I), requires grad
    gradient: torch.Tensor  # (T, B, directions * H), of the output
    lengths: torch.Tensor | None  # (B,) int64
    resets: torch.Tensor | None  # (T, B) bool

    @property
    def steps(self) -> int:
        return int(self.lengths.sum()) if self.lengths is not None else self.x.shape[0] * self.x.shape[1]


def draw(shape: Shape, seed: int, dtype: torch.dtype = torch.float32) -> Data:
    """Data of `shape`, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape.T, shape.B, shape.I, generator=generator, dtype=dtype)
    gradient = torch.randn(shape.T, shape.B, shape.directions * shape.H, generator=generator, dtype=dtype)
    lengths = resets = None
    if shape.ragged:
        lengths = torch.randint(*shape.ragged, (shape.B,), generator=generator)
    if shape.resets:
        resets = torch.rand(shape.T, shape.B, generator=generator) < shape.resets
    return Data(x.requires_grad_(), gradient, lengths, resets)


def parse(text: str) -> Shape:
    """A shape from "T,B,I,H": `parse("10,2,3,4") == Shape(10, 2, 3, 4)`."""
    try:
        T, B, I, H = (int(part) for part in text.strip("() ").split(","))
    except ValueError:
        raise SystemExit(f"--shapes: {text!r} is not a shape; give T,B,I,H such as 100,16,512,512") from None
    return Shape(T, B, I, H)


def as_plain(shape: Shape) -> dict:
    return {"name": shape.name, **asdict(shape)}
