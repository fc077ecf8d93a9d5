"""Rows of unequal length: which steps lie within them, where their states start afresh, and the way back in time.

Legend: T time, B batch, w a width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def within(lengths: Tensor, T: int, device: torch.device) -> Tensor:
    """(T, B, 1) bool: whether step t lies within row b's length."""
    return (torch.arange(T)[:, None] < lengths).to(device).unsqueeze(-1)


def cuts(resets: Tensor | None, active: Tensor | None, reverse: bool) -> Tensor | None:
    """(T, B, 1) bool: whether the state that step t takes over is replaced by the initial one.

    In reverse the cut lies between t and t - 1, so that it is step t - 1 which starts afresh.
    """
    if resets is None:
        return None
    cut = resets.unsqueeze(-1) if active is None else resets.unsqueeze(-1) & active
    return torch.cat([cut[1:], torch.zeros_like(cut[:1])]) if reverse else cut


def fill(value: Tensor, lengths: Tensor | None, active: Tensor | None) -> Tensor:
    """`value` (T, B, w) or (B, w) with its padding overwritten by entries that are real.

    The steps past a row's end are computed and thrown away. Zeros would not do for them: where an equation has no
    finite slope at zero, the gradient of what is thrown away is zero times infinity.
    """
    if lengths is None or value.shape[0] == 0 or lengths.numel() == 0:
        return value
    assert active is not None
    B, device = len(lengths), value.device
    row = torch.where(lengths > 0, torch.arange(B), lengths.argmax())  # (B,): an empty row borrows the longest one
    if value.dim() == 2:
        real, filler = (lengths > 0).to(device)[:, None], value.detach()[row.to(device)]
    else:
        t = torch.minimum(torch.arange(len(value))[:, None], (lengths[row] - 1).clamp(min=0))  # (T, B)
        real, filler = active, value.detach()[t.to(device), row.to(device)]
    filler = torch.where((lengths.max() > 0).to(device), filler, 1)  # all rows are empty
    return torch.where(real, value, filler)


def turned(value: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row of `value` (T, B, ...) turned round within its length; what lies beyond stays."""
    if lengths is None:
        return value.flip(0)
    t = torch.arange(len(value))[:, None]
    source = torch.where(t < lengths, lengths - 1 - t, t).to(value.device)  # (T, B)
    return value.gather(0, source.view(*source.shape, *[1] * (value.dim() - 2)).expand_as(value))
