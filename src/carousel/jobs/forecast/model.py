"""The network: a recurrent encoder reads the context, a recurrent decoder walks through the horizon.

What it puts out is a correction of the linear forecast, and the width of the intervals; with its head at zero it is
the linear forecast.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from carousel.jobs.forecast.linear import Linear
from carousel.jobs.forecast.windows import Batch
from carousel.layers import Recurrent


class Network(nn.Module):
    """From a batch of windows to the parameters of each step's distribution."""

    linear_spread: Tensor
    levels: Tensor
    gaps: Tensor

    def __init__(
        self,
        cell: Any,
        before_size: int,
        ahead_size: int,
        linear: Linear,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
        quantiles: tuple[float, ...],
        gaussian: bool,
        cell_sizes: dict[str, int],
    ):
        super().__init__()
        self.quantiles, self.gaussian = quantiles, gaussian
        self.before_size, self.ahead_size = before_size, ahead_size
        for name, value in linear._asdict().items():
            self.register_buffer(f"linear_{name}", value)
        sizes: dict[str, Any] = {"hidden_size": hidden_size, "num_layers": layers, **cell_sizes}
        between = dropout if layers > 1 else 0.0
        self.encoder = Recurrent(cell, before_size, batch_first=True, dropout=between, **sizes)
        self.decoder = Recurrent(cell, ahead_size + 3, batch_first=True, dropout=between, **sizes)
        self.dropout = nn.Dropout(dropout)
        width = cell.output_width(**self.decoder.sizes)
        self.head = nn.Linear(width, 2 if gaussian else len(quantiles))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        levels = torch.tensor([NormalDist().inv_cdf(q) for q in quantiles])
        # softplus of this is the distance from one quantile of a standard normal to the next
        self.register_buffer("gaps", torch.log(torch.expm1(levels.diff())), persistent=False)
        self.register_buffer("levels", levels, persistent=False)

    @property
    def linear(self) -> Linear:
        """The straight part."""
        return Linear(*(self.get_buffer(f"linear_{name}") for name in Linear._fields))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The straight forecast (B, H) and the head's output (B, H, outputs)."""
        straight = self.linear(batch)
        _, state = self.encoder(batch.before, lengths=batch.lengths)
        steps = torch.linspace(0, 1, straight.shape[1]).to(straight).expand_as(straight)
        hints = torch.stack([straight, batch.seasonal, steps], dim=2)
        y, _ = self.decoder(torch.cat([batch.ahead, hints], dim=2), state)
        return straight, self.head(self.dropout(y))

    def distribution(self, batch: Batch) -> Tensor:
        """Quantiles (B, H, Q), relative to base."""
        straight, raw = self(batch)
        spread = self.linear_spread[:, None]
        middle = (straight + self.linear_spread * raw[..., 0])[..., None]
        if self.gaussian:
            return middle + spread * self._width(raw) * self.levels
        steps = F.softplus(raw[..., 1:] + self.gaps)
        offsets = torch.cat([torch.zeros_like(middle), steps.cumsum(2)], dim=2)
        centre = self.quantiles.index(0.5)
        return middle + spread * (offsets - offsets[..., centre : centre + 1])

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The pinball loss or, Gaussian, the negative log-likelihood, summed over targets; and how many these are."""
        if self.gaussian:
            straight, raw = self(batch)
            width = self._width(raw)[..., 0]
            error = (batch.target - straight) / self.linear_spread - raw[..., 0]
            losses = 0.5 * (error / width).square() + width.log() + 0.5 * math.log(2 * math.pi)
        else:
            error = (batch.target[..., None] - self.distribution(batch)) / self.linear_spread.mean()
            levels = torch.tensor(self.quantiles).to(error)
            losses = torch.maximum(levels * error, (levels - 1) * error).mean(2)
        return (losses * batch.weight).sum(), batch.weight.sum()

    def _width(self, raw: Tensor) -> Tensor:
        """The deviation in units of the linear residual's, within a factor of 50."""
        return (math.log(50) * torch.tanh(raw[..., 1:] / math.log(50))).exp()
