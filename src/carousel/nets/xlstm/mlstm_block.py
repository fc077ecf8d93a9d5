"""The mLSTM block of xLSTM: up-projection, matrix memory, down-projection.

Legend: T time, B batch, D features of the block, I inner features, d = I / heads.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel.cells.mlstm import EPS, forget_bias_, input_bias_
from carousel.cells.mlstm_forms import chunkwise, recurrent
from carousel.layers.inputs import without_autocast
from carousel.nets.xlstm.parts import (
    BlockDiagonal,
    CausalConv,
    HeadNorm,
    check_heads,
    check_place,
    output_,
    small_,
    widened,
)
from carousel.nets.xlstm.sequence import SequenceNet, State, Timing, read_state

BLOCK = 4  # the width of the blocks of W_q, W_k and W_v


class MLSTMBlock(SequenceNet):
    """The residual block around the matrix memory.

    Beck et al., 2024, arXiv:2405.04517, the pre-up-projection block:

        a, g = W_up LayerNorm(x)
        u = SiLU(conv(a))
        q, k, v = W_q u, W_k u, W_v a
        i, f = W_i [q, k, v] + b_i, W_f [q, k, v] + b_f
        h = HeadNorm(memory(q, k, v, i, f)) + skip * u
        y = x + W_down (h * SiLU(g))

    Args:
        size: D.
        heads: each with its own memory; it divides I.
        conv_width: steps that the convolution sees, the present one counted.
        inner_size: I, a multiple of 4; None is twice D, up to the next multiple of 64.
        dropout: of what is added to x, in training.
        batch_first: everything with a time axis is (B, T, ...), states excepted.
        chunk_size: steps that are computed at once. A single step is computed by the recurrent form.
        place: (k, n): block k of n. Its output projection starts from deviation 2 / (n sqrt(D)).

    The state is (conv, C, n, m): the convolution's last inputs (B, conv_width - 1, I), and the memory's C
    (B, heads, d, d), n (B, heads, d) and m (B, heads).

    Raises:
        ValueError: for an argument that does not fit.

    >>> block = MLSTMBlock(16, heads=2)
    >>> y, (conv, C, n, m) = block(torch.randn(7, 3, 16))
    >>> y.shape, C.shape
    (torch.Size([7, 3, 16]), torch.Size([3, 2, 32, 32]))
    >>> y, state = block.step(torch.randn(3, 16), (conv, C, n, m))
    """

    def __init__(
        self,
        size: int,
        heads: int = 4,
        *,
        conv_width: int = 4,
        inner_size: int | None = None,
        dropout: float = 0.0,
        batch_first: bool = False,
        chunk_size: int = 64,
        place: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(size, dropout, batch_first)
        I = widened(size, 2) if inner_size is None else inner_size
        check_heads("MLSTMBlock", "inner_size", I, heads)
        if I < 1 or I % BLOCK:
            raise ValueError(f"MLSTMBlock: inner_size is {I}, expected a positive multiple of {BLOCK}.")
        if conv_width < 1 or chunk_size < 1:
            raise ValueError(
                f"MLSTMBlock: conv_width is {conv_width} and chunk_size {chunk_size}, expected at least 1 each."
            )
        self.inner_size, self.heads, self.chunk_size = I, heads, chunk_size
        self.place = check_place("MLSTMBlock", place)
        self.norm = nn.LayerNorm(size, bias=False)
        self.up = nn.Linear(size, 2 * I, bias=False)
        self.conv = CausalConv(I, conv_width)
        self.q, self.k, self.v = BlockDiagonal(I, BLOCK), BlockDiagonal(I, BLOCK), BlockDiagonal(I, BLOCK)
        self.i, self.f = nn.Linear(3 * I, heads), nn.Linear(3 * I, heads)
        self.head_norm = HeadNorm(I, heads)
        self.skip = nn.Parameter(torch.empty(I))
        self.down = nn.Linear(I, size, bias=False)
        self.dropout = nn.Dropout(dropout)
        d = I // heads
        self.shapes = {"conv": (conv_width - 1, I), "C": (heads, d, d), "n": (heads, d), "m": (heads,)}
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as the authors' program does."""
        for part in (self.norm, self.conv, self.head_norm):
            part.reset_parameters()
        for product in (self.up, self.q, self.k, self.v):
            small_(product.weight, self.size)
        output_(self.down.weight, self.size, self.place[1])
        nn.init.ones_(self.skip)
        with torch.no_grad():
            self.i.weight.zero_()
            self.f.weight.zero_()
            input_bias_(self.i.bias)
            forget_bias_(self.f.bias)

    def scan(self, x: Tensor, state: Any, timing: Timing) -> tuple[Tensor, State]:
        conv, *memory = state or (None,)
        a, g = self.up(self.norm(x)).chunk(2, -1)  # (T, B, I)
        u, conv = self.conv(a, conv, timing)
        q, k, v = self.q(u), self.k(u), self.v(a)
        gates = torch.cat([q, k, v], -1)
        h, memory = self._remember(q, k, v, self.i(gates), self.f(gates), memory or None, timing)
        h = self.head_norm(h) + self.skip * u
        return x + self.dropout(self.down(h * F.silu(g))), (conv, *memory)

    def _remember(
        self, q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, memory: Any, timing: Timing
    ) -> tuple[Tensor, State]:
        """h (T, B, I) and the memory after the last step; in a step past a row's end i is 0 and f is 1."""
        dtype = self.skip.dtype
        with without_autocast(q):
            q, k, v = (value.to(dtype).unflatten(-1, (self.heads, -1)).permute(1, 2, 0, 3) for value in (q, k, v))
            i, f = i.to(dtype), f.to(dtype)
            if timing.active is not None:
                i = torch.where(timing.active[..., None], i, -math.inf)
                f = torch.where(timing.active[..., None], f, math.inf)
            i, f = i.permute(1, 2, 0), f.permute(1, 2, 0)  # (B, heads, T)
            cut = None if timing.resets is None else timing.resets.T
            form = recurrent if q.shape[2] == 1 else partial(chunkwise, chunk_size=self.chunk_size)
            h, memory = form(q, k, v, i, f, memory, eps=EPS, cut=cut)
        return h.permute(2, 0, 1, 3).flatten(-2), memory

    def read(self, name: str, state: Any, x: Tensor, batched: bool) -> State:
        return read_state(name, self.shapes, state, x, batched)

    def extra_repr(self) -> str:
        return f"{self.size}, heads={self.heads}, inner_size={self.inner_size}"
