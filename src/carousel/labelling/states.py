"""States of layers, (L, B, ...), for samples that are taken together and apart.

Legend: L layers, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def joined(states: Sequence[Any]) -> Any:
    """States of one sample each as that of a batch.

    >>> h, c = joined([(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))] * 3)
    >>> c.shape
    torch.Size([1, 3, 4])
    """
    if isinstance(states[0], Tensor):
        return torch.cat(tuple(states), 1)
    return tuple(torch.cat(parts, 1) for parts in zip(*states, strict=True))


def row(state: Any, n: int) -> Any:
    """The state of the n-th sample of a batch."""
    if isinstance(state, Tensor):
        return state[:, n : n + 1]
    return tuple(part[:, n : n + 1] for part in state)
