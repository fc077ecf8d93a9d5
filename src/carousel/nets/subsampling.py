"""Hierarchical subsampling: a stack whose upper layers see several steps of the lower ones as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel.graph import Cell
from carousel.layers import Recurrent
from carousel.layers.inputs import Lengths, read_lengths


class HierarchicalSubsampling(nn.Module):
    """Recurrent layers between which windows of steps are joined, so that each level has a coarser time.

    Graves, "Supervised sequence labelling with recurrent neural networks", Springer 2012,
    doi:10.1007/978-3-642-24797-2, chapter 9. Before level k, every `windows[k]` consecutive steps become one step,
    whose features stand side by side; the last window is filled up with zeros. After a level, `between[k]` tanh units
    may gather its directions before the next.

    Args:
        cell: of every level.
        input_size: D.
        hidden_sizes: H of each level.
        windows: steps that are joined before each level.
        between: tanh units after each level, None for none; one fewer than levels.
        bidirectional: every level reads both ways.
        engine, sizes: as for `Recurrent`, of every level.

    Raises ValueError for lists whose lengths do not match.

    >>> import carousel as ca
    >>> net = HierarchicalSubsampling(ca.cells.lstm, 3, hidden_sizes=(8, 16), windows=(2, 3), between=(6,))
    >>> y, lengths = net(torch.randn(13, 2, 3), lengths=torch.tensor([13, 5]))
    >>> y.shape, lengths
    (torch.Size([3, 2, 32]), tensor([3, 1]))
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_sizes: Sequence[int],
        windows: Sequence[int],
        *,
        between: Sequence[int | None] | None = None,
        bidirectional: bool = True,
        engine: str = "auto",
        **sizes: Any,
    ) -> None:
        super().__init__()
        levels = len(hidden_sizes)
        between = [None] * (levels - 1) if between is None else list(between)
        if len(windows) != levels or len(between) != levels - 1 or min(windows, default=0) < 1:
            raise ValueError(
                f"HierarchicalSubsampling: {levels} hidden_sizes, {len(windows)} windows and {len(between)} between "
                f"were given, expected as many windows as hidden_sizes, each at least 1, and one between fewer."
            )
        self.windows, self.input_size = tuple(windows), input_size
        self.levels, self.gather = nn.ModuleList(), nn.ModuleList()
        width = input_size
        for level, (H, window) in enumerate(zip(hidden_sizes, windows, strict=True)):
            layer = Recurrent(cell, window * width, H, bidirectional=bidirectional, engine=engine, **sizes)
            self.levels.append(layer)
            width = cell.output_width(**layer.sizes) * (2 if bidirectional else 1)
            units = between[level] if level < levels - 1 else None
            self.gather.append(nn.Identity() if units is None else nn.Sequential(nn.Linear(width, units), nn.Tanh()))
            width = width if units is None else units
        self.output_size = width

    def forward(self, x: Tensor, lengths: Lengths | None = None) -> tuple[Tensor, Tensor | None]:
        """The last level's output (T', B, output_size), and its lengths (None if none were given).

        Args:
            x: (T, B, D).
            lengths: (B,) whole numbers from 0 to T; T' and theirs are divided by every window, rounded up.

        Raises TypeError or ValueError for input that does not fit.
        """
        if x.dim() != 3 or x.shape[-1] != self.input_size:
            raise ValueError(
                f"HierarchicalSubsampling: x has shape {tuple(x.shape)}, expected (T, B, D) with D = {self.input_size}."
            )
        lengths = read_lengths("HierarchicalSubsampling", lengths, *x.shape[:2])
        for window, layer, gather in zip(self.windows, self.levels, self.gather, strict=True):
            x, lengths = join(x, window, lengths)
            x = gather(layer(x, lengths=lengths)[0])
        return x, lengths


def join(x: Tensor, window: int, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Every `window` steps of x (T, B, D) as one: (ceil(T / window), B, window * D), and the lengths likewise.

    What a window holds past its row's length is zero.

    >>> join(torch.arange(3.0).view(3, 1, 1), 2)[0].squeeze(1)
    tensor([[0., 1.],
            [2., 0.]])
    """
    T, B, D = x.shape
    if lengths is not None:
        within = torch.arange(T, device=x.device)[:, None] < lengths.to(x.device)
        x = torch.where(within.unsqueeze(-1), x, 0)
        lengths = (lengths + window - 1) // window
    x = F.pad(x, (0, 0, 0, 0, 0, -T % window))
    return x.unflatten(0, (len(x) // window, window)).transpose(1, 2).flatten(2), lengths
