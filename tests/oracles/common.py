"""What oracles share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Found = tuple[Tensor, tuple[Tensor, ...]]
Parameters = Mapping[str, Tensor]
Oracle = Callable[..., Found]


def stacked(params: Parameters, letter: str, gates: Sequence[str]) -> Tensor:
    """The gates' parameters one below the other."""
    return torch.cat([params[f"{letter}_{gate}"] for gate in gates])


def differences(loss: Callable[[], Tensor], leaf: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient of `loss()` with respect to a float64 leaf by central differences, one number at a time."""
    gradient = torch.zeros_like(leaf)
    with torch.no_grad():
        values, out = leaf.view(-1), gradient.view(-1)
        for k in range(len(values)):
            kept = values[k].item()
            values[k] = kept + step
            above = loss().item()
            values[k] = kept - step
            out[k] = (above - loss().item()) / (2 * step)
            values[k] = kept
    return gradient
