"""Connections around the layers of a stack: what a layer reads is carried past it.

Legend: w the width of a layer's output, which is that of its input in all layers above the first.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("residual", "highway")


class Residual(nn.Module):
    """x + y for a layer that makes y of x (He et al., 2015, arXiv:1512.03385; in stacks of LSTMs, Wu et al., 2016,
    arXiv:1609.08144)."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Highway(nn.Module):
    """t * y + (1 - t) * x with t = sigmoid(W_t x + b_t), for a layer that makes y of x (Srivastava, Greff &
    Schmidhuber, 2015, arXiv:1505.00387). b_t starts at -2, so that x is mostly carried past."""

    def __init__(self, width: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.W_t = nn.Parameter(torch.empty(width, width, device=device, dtype=dtype))
        self.b_t = nn.Parameter(torch.empty(width, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """W_t uniformly within 1/sqrt(w), b_t = -2."""
        bound = self.W_t.shape[0] ** -0.5
        nn.init.uniform_(self.W_t, -bound, bound)
        nn.init.constant_(self.b_t, -2.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        t = torch.sigmoid(F.linear(x, self.W_t, self.b_t))
        return t * y + (1 - t) * x


def connections(name: str, kind: str | None, num_layers: int, width: int, **factory: Any) -> nn.ModuleList | None:
    """One connection for each layer above the first, None where `kind` is None; the layer resets their parameters.

    Raises ValueError for another kind, or a single layer.
    """
    if kind is None:
        return None
    if kind not in KINDS:
        raise ValueError(f"{name}: connections is {kind!r}, expected {' or '.join(map(repr, KINDS))}, or None.")
    if num_layers == 1:
        raise ValueError(f"{name}: connections={kind!r} goes around the layers above the first, but num_layers is 1.")
    above = range(num_layers - 1)
    return nn.ModuleList(Residual() if kind == "residual" else Highway(width, **factory) for _ in above)
