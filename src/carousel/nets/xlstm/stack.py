"""The stack of xLSTM blocks.

Legend: T time, B batch, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from carousel.nets.xlstm.mlstm_block import MLSTMBlock
from carousel.nets.xlstm.sequence import SequenceNet, State, Timing
from carousel.nets.xlstm.slstm_block import SLSTMBlock


class XLSTM(SequenceNet):
    """Residual blocks around mLSTM and sLSTM, and a layer normalisation after the last.

    Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517.

    Args:
        size: D, of what goes in, of what comes out, and of the residual stream between.
        num_layers: how many blocks; None is one group of `ratio`. Of whole groups, unless `slstm_at` is given.
        ratio: mLSTM to sLSTM blocks; None is (7, 1), the paper's xLSTM[7:1]. Each group has its mLSTM blocks first.
        slstm_at: the numbers, from 0, of the blocks with sLSTM, instead of `ratio`; `num_layers` is then needed.
        heads: of every block.
        conv_width: of every block's convolution; 0, for none, only where all blocks are sLSTM.
        inner_size, mlp_size: as for `MLSTMBlock` and `SLSTMBlock`.
        dropout: of what each block adds to the residual stream, in training.
        batch_first: everything with a time axis is (B, T, ...), states excepted.
        chunk_size, clip_gradient, engine: as for `MLSTMBlock` and `SLSTMBlock`.

    The state is a tuple of the blocks' states. No length of context has to be declared.

    Raises:
        TypeError, ValueError: for an argument that does not fit.

    >>> import torch
    >>> net = XLSTM(32, ratio=(3, 1))
    >>> y, state = net(torch.randn(10, 2, 32))
    >>> more, state = net(torch.randn(5, 2, 32), state)
    >>> y.shape, more.shape, len(state)
    (torch.Size([10, 2, 32]), torch.Size([5, 2, 32]), 4)
    """

    def __init__(
        self,
        size: int,
        num_layers: int | None = None,
        ratio: tuple[int, int] | None = None,
        *,
        slstm_at: Sequence[int] | None = None,
        heads: int = 4,
        conv_width: int = 4,
        inner_size: int | None = None,
        mlp_size: int | None = None,
        dropout: float = 0.0,
        batch_first: bool = False,
        chunk_size: int = 64,
        clip_gradient: float | None = 10.0,
        engine: str = "auto",
    ) -> None:
        super().__init__(size, dropout, batch_first)
        kinds = _kinds(num_layers, ratio, slstm_at)
        shared: dict[str, Any] = {"heads": heads, "conv_width": conv_width, "dropout": dropout}
        self.blocks = nn.ModuleList()
        for k, is_slstm in enumerate(kinds):
            place = (k, len(kinds))
            self.blocks.append(
                SLSTMBlock(size, mlp_size=mlp_size, clip_gradient=clip_gradient, engine=engine, place=place, **shared)
                if is_slstm
                else MLSTMBlock(size, inner_size=inner_size, chunk_size=chunk_size, place=place, **shared)
            )
        self.norm = nn.LayerNorm(size, bias=False)

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as the authors' program does."""
        for part in (*self.blocks, self.norm):
            part.reset_parameters()

    def scan(self, x: Tensor, state: Any, timing: Timing) -> tuple[Tensor, tuple[State, ...]]:
        new = []
        for k, block in enumerate(self.blocks):
            x, own = block(x, state and state[k], lengths=timing.lengths, resets=timing.resets)
            new.append(own)
        return self.norm(x), tuple(new)

    def read(self, name: str, state: Any, x: Tensor, batched: bool) -> tuple[State, ...]:
        if not isinstance(state, Sequence) or len(state) != len(self.blocks):
            given = f"a tuple of {len(state)}" if isinstance(state, Sequence) else f"a {type(state).__name__}"
            raise TypeError(f"{name}: state is {given}, expected a tuple of {len(self.blocks)}, one for each block.")
        blocks: list[Any] = list(self.blocks)
        pairs = zip(blocks, state, strict=True)
        return tuple(block.read(f"{name}, block {k}", own, x, batched) for k, (block, own) in enumerate(pairs))


def _kinds(num_layers: int | None, ratio: tuple[int, int] | None, slstm_at: Sequence[int] | None) -> list[bool]:
    """For each block whether it has an sLSTM."""
    if slstm_at is None:
        return _by_ratio(num_layers, (7, 1) if ratio is None else ratio)
    if ratio is not None:
        raise ValueError("XLSTM: ratio and slstm_at are both given, expected one: either says which blocks are sLSTM.")
    return _by_place(num_layers, slstm_at)


def _by_ratio(num_layers: int | None, ratio: tuple[int, int]) -> list[bool]:
    if not isinstance(ratio, Sequence) or len(ratio) != 2 or min(ratio) < 0 or sum(ratio) == 0:
        raise ValueError(f"XLSTM: ratio is {ratio!r}, expected two numbers: mLSTM to sLSTM blocks, such as (7, 1).")
    mlstm, slstm = ratio
    num_layers = mlstm + slstm if num_layers is None else num_layers
    if num_layers < 1 or num_layers % (mlstm + slstm):
        raise ValueError(
            f"XLSTM: num_layers is {num_layers}, expected a multiple of {mlstm + slstm}, so that ratio {ratio!r} comes "
            f"out. Or say by slstm_at= which blocks have an sLSTM."
        )
    return (mlstm * [False] + slstm * [True]) * (num_layers // (mlstm + slstm))


def _by_place(num_layers: int | None, slstm_at: Sequence[int]) -> list[bool]:
    if num_layers is None or num_layers < 1:
        raise ValueError(
            f"XLSTM: num_layers is {num_layers} and slstm_at is given, expected how many blocks there are."
        )
    for k in slstm_at:
        if not 0 <= k < num_layers:
            raise ValueError(f"XLSTM: slstm_at has {k}, expected numbers from 0 to {num_layers - 1}.")
    return [k in set(slstm_at) for k in range(num_layers)]
