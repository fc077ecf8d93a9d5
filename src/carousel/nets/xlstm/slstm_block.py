"""The sLSTM block of xLSTM: scalar memory whose units see each other, then a gated perceptron.

Legend: T time, B batch, D features.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from carousel.cells.slstm import power_law
from carousel.graph import Cell, clip_gradients
from carousel.layers import Recurrent
from carousel.nets.xlstm.parts import (
    CausalConv,
    GatedMLP,
    HeadNorm,
    check_heads,
    check_place,
    output_,
    small_,
    widened,
)
from carousel.nets.xlstm.sequence import SequenceNet, State, Timing, read_state
from carousel.nets.xlstm.slstm_of_two import slstm_of_two


class SLSTMBlock(SequenceNet):
    """The residual block around the scalar memory.

    Beck et al., 2024, arXiv:2405.04517, the post-up-projection block:

        a = LayerNorm(x)
        u = SiLU(conv(a))
        h = HeadNorm(sLSTM(a, u)), where the input and forget gates read u
        x = x + h
        y = x + W_down (GELU(a') * b'), where a', b' = W_up LayerNorm(x)

    Args:
        size: D.
        heads: units see each other within a head; it divides D.
        conv_width: steps that the convolution sees, the present one counted; 0 is no convolution, so that u is a.
        mlp_size: the width of a' and b'; None is 1.3 times D, up to the next multiple of 64.
        dropout: of what is added to x, in training.
        batch_first: everything with a time axis is (B, T, ...), states excepted.
        clip_gradient: the bound of the gradient that goes back to h of the step before, unit by unit, or None.
        place: (k, n): block k of n. The forget gates' biases fall from 5 to -7 along a head, the faster the deeper.
        engine: of the recurrence, as for `Recurrent`.

    The state is (conv, h, c, n, m): the convolution's last inputs (B, conv_width - 1, D), and four of (B, D).

    Raises:
        ValueError: for an argument that does not fit.

    >>> import torch
    >>> block = SLSTMBlock(16, heads=2)
    >>> y, (conv, h, c, n, m) = block(torch.randn(7, 3, 16))
    >>> y.shape, conv.shape, h.shape
    (torch.Size([7, 3, 16]), torch.Size([3, 3, 16]), torch.Size([3, 16]))
    >>> y, state = block.step(torch.randn(3, 16), (conv, h, c, n, m))
    """

    def __init__(
        self,
        size: int,
        heads: int = 4,
        *,
        conv_width: int = 4,
        mlp_size: int | None = None,
        dropout: float = 0.0,
        batch_first: bool = False,
        clip_gradient: float | None = 10.0,
        place: tuple[int, int] = (0, 1),
        engine: str = "auto",
    ) -> None:
        super().__init__(size, dropout, batch_first)
        check_heads("SLSTMBlock", "size", size, heads)
        if conv_width < 0:
            raise ValueError(f"SLSTMBlock: conv_width is {conv_width}, expected 0 for no convolution, or more.")
        self.heads, self.place = heads, check_place("SLSTMBlock", place)
        self.mlp_size = widened(size, 1.3) if mlp_size is None else mlp_size
        self.norm = nn.LayerNorm(size, bias=False)
        self.conv = CausalConv(size, conv_width) if conv_width else None
        self.memory = Recurrent(_cell(heads, clip_gradient), size, size, init=_start(size, heads, place), engine=engine)
        self.head_norm = HeadNorm(size, heads)
        self.mlp_norm = nn.LayerNorm(size, bias=False)
        self.mlp = GatedMLP(size, self.mlp_size)
        self.dropout = nn.Dropout(dropout)
        self.shapes = {"conv": (max(conv_width - 1, 0), size), **dict.fromkeys("hcnm", (size,))}
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as the authors' program does."""
        for part in (self.norm, self.conv, self.memory, self.head_norm, self.mlp_norm):
            if part is not None:
                part.reset_parameters()
        small_(self.mlp.up.weight, self.size)
        output_(self.mlp.down.weight, self.size, self.place[1])

    def scan(self, x: Tensor, state: Any, timing: Timing) -> tuple[Tensor, State]:
        conv, *memory = state or (None,)
        a = self.norm(x)
        if self.conv is None:
            u, conv = a, a.new_zeros(x.shape[1], 0, self.size)
        else:
            u, conv = self.conv(a, conv, timing)
        hx = tuple(value.unsqueeze(0) for value in memory) or None
        h, memory = self.memory(a, hx, lengths=timing.lengths, resets=timing.resets, u=u)
        x = x + self.dropout(self.head_norm(h))
        x = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return x, (conv, *(value.squeeze(0) for value in memory))

    def read(self, name: str, state: Any, x: Tensor, batched: bool) -> State:
        return read_state(name, self.shapes, state, x, batched)

    def extra_repr(self) -> str:
        return f"{self.size}, heads={self.heads}, mlp_size={self.mlp_size}"


def _cell(heads: int, bound: float | None) -> Cell:
    own = slstm_of_two.with_(heads=heads)
    return own if bound is None else clip_gradients(own, h=bound)


def _start(size: int, heads: int, place: tuple[int, int]) -> dict[str, Any]:
    k, n = place
    depth = k / (n - 1) if n > 1 else 0.0
    forget = partial(power_law, heads=heads, exponent=0.3 + 1.3 * depth)
    return {"W_*": partial(small_, size=size), "R_*": 0.0, "b_*": 0.0, "b_f": forget}
