"""Parts of the blocks: convolution over the past, norm by heads, block-diagonal product, gated perceptron.

Legend: T time, B batch, D features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel.nets.xlstm.sequence import Timing


class CausalConv(nn.Module):
    """Each feature by itself, over the present step and the `width` - 1 before it, then SiLU.

    y_t = SiLU(b + sum_k w_k * x_{t-k}); `weight` (width, D) has w_k in row k. Its state (B, width - 1, D) are the last
    inputs, the oldest first; zero are those before the first step or before a reset.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(width, size)), nn.Parameter(torch.empty(size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniformly within 1/sqrt(width), as `torch.nn.Conv1d`."""
        bound = 1 / math.sqrt(len(self.weight))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, state: Tensor | None, timing: Timing) -> tuple[Tensor, Tensor]:
        """y (T, B, D) and the new state, from x (T, B, D) and the state before."""
        x = x.to(self.weight.dtype)  # from what autocast made of it
        T, B, D = x.shape
        width = len(self.weight)
        before = x.new_zeros(width - 1, B, D) if state is None else state.transpose(0, 1)
        series = torch.cat([before, x])  # (width - 1 + T, B, D)
        piece = None if timing.resets is None else F.pad(timing.resets.cumsum(0), (0, 0, width - 1, 0))
        y = self.bias + self.weight[0] * x
        for k in range(1, width):
            tap = series[width - 1 - k : width - 1 - k + T]
            if piece is not None:
                tap = torch.where((piece[width - 1 - k : width - 1 - k + T] == piece[width - 1 :])[..., None], tap, 0)
            y = y + self.weight[k] * tap
        return F.silu(y), self._last(series, piece, timing.lengths).transpose(0, 1)

    def _last(self, series: Tensor, piece: Tensor | None, lengths: Tensor | None) -> Tensor:
        """The last width - 1 inputs of each row, without those before its last reset."""
        kept = len(self.weight) - 1
        if lengths is None:
            rows = torch.arange(len(series) - kept, len(series), device=series.device)[:, None]
        else:
            rows = (lengths + torch.arange(kept)[:, None]).to(series.device)  # (width - 1, B)
        rows = rows.expand(kept, series.shape[1])
        last = series.gather(0, rows[..., None].expand(-1, -1, series.shape[2]))
        if piece is None:
            return last
        of = piece.gather(0, rows)
        return torch.where((of == of[-1:])[..., None], last, 0)


class HeadNorm(nn.Module):
    """Layer normalisation within each head, times a weight for each feature."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.weight = heads, nn.Parameter(torch.ones(size))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (self.heads, -1))
        return F.layer_norm(heads, heads.shape[-1:]).flatten(-2) * self.weight


class BlockDiagonal(nn.Module):
    """The product with a matrix of square blocks on the diagonal: `weight` (blocks, width, width)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size // width, width, width))

    def forward(self, x: Tensor) -> Tensor:
        blocks, width, _ = self.weight.shape
        return torch.einsum("...nk,njk->...nj", x.unflatten(-1, (blocks, width)), self.weight).flatten(-2)


class GatedMLP(nn.Module):
    """W_down (GELU(a) * b) with a and b the two halves of W_up x; `inner_size` is the width of a half."""

    def __init__(self, size: int, inner_size: int) -> None:
        super().__init__()
        self.up = nn.Linear(size, 2 * inner_size, bias=False)
        self.down = nn.Linear(inner_size, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(F.gelu(gate) * value)


def small_(W: Tensor, size: int) -> Tensor:
    """A normal distribution of variance 2 / (5 size): the small start of Nguyen & Salazar (2019, arXiv:1910.05895)."""
    return nn.init.normal_(W, std=math.sqrt(2 / (5 * size)))


def output_(W: Tensor, size: int, num_blocks: int) -> Tensor:
    """A normal distribution of deviation 2 / (num_blocks sqrt(size)), for what is added to the residual stream."""
    return nn.init.normal_(W, std=2 / (num_blocks * math.sqrt(size)))


def widened(size: int, factor: float) -> int:
    """factor * size, up to the next multiple of 64, as the authors' program rounds.

    >>> widened(128, 2), widened(128, 1.3)
    (256, 192)
    """
    return 64 * math.ceil(factor * size / 64)


def check_heads(name: str, what: str, size: int, heads: int) -> None:
    """ValueError unless `size` can be cut into so many heads."""
    if not isinstance(heads, int) or heads < 1 or size % heads:
        raise ValueError(f"{name}: heads is {heads!r}, expected a whole number that divides {what} = {size}.")


def check_place(name: str, place: tuple[int, int]) -> tuple[int, int]:
    """`place` as it is; ValueError unless it is (k, n) with 0 <= k < n."""
    if len(place) != 2 or not 0 <= place[0] < place[1]:
        raise ValueError(f"{name}: place is {place!r}, expected (k, n): block k, from 0, of n blocks.")
    return place
