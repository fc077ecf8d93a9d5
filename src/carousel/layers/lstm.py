"""`LSTM`: PyTorch's layer, run by a cell of ours. Same parameters, constructor, call and results.

Legend: T time, B batch, D input features, H hidden units, L layers x directions, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel import cells
from carousel.engines.constant import constant
from carousel.engines.params import Layout, Parameters
from carousel.layers import stack as driver
from carousel.layers.drop_in import DropIn
from carousel.layers.inputs import Lengths
from carousel.layers.lookup import tensor_of

if TYPE_CHECKING:
    from carousel.graph import Cell

GATES = ("i", "f", "c", "o")


class LSTM(DropIn, nn.LSTM):
    """`torch.nn.LSTM`, run by the cell `carousel.cells.lstm`; any code that takes the one takes the other.

    Takes `torch.nn.LSTM`'s arguments, and:

        engine: "auto", "eager" or "native".
        checkpoint_every: keeps the states at every k-th step only, and computes the rest again in the backward pass.

    torch.compile refuses whatever derives from `torch.nn.LSTM` until `torch._dynamo.config.allow_rnn = True`, as its
    message says; `Recurrent(carousel.cells.lstm, ...)` needs no such thing. torch.export takes both.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> theirs = torch.nn.LSTM(3, 4, num_layers=2)
    >>> _ = torch.manual_seed(0)
    >>> ours = LSTM(3, 4, num_layers=2)
    >>> x = torch.randn(7, 2, 3)
    >>> torch.testing.assert_close(ours(x), theirs(x))
    """

    def _cell(self) -> Cell:
        return cells.projected_lstm if self.proj_size else cells.lstm

    def _state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.proj_size or self.hidden_size,), (self.hidden_size,))

    def _weights(self, end: str) -> Parameters:
        w_ih, w_hh = tensor_of(self, "weight_ih" + end), tensor_of(self, "weight_hh" + end)
        b_ih, b_hh = self._biases(end, w_ih)
        tensors = [w_ih, w_hh, b_ih + b_hh]
        if self.proj_size:
            tensors.append(tensor_of(self, "weight_hr" + end))
        return Parameters(tensors, _layout(self.hidden_size, bool(self.proj_size)))

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        record: Sequence[str] = (),
    ) -> Any:
        """Runs the layer over a sequence, as `torch.nn.LSTM` does; the rest as `Recurrent.forward`.

        Args:
            input: (T, B, D), or (B, T, D) with batch_first, or (T, D), or a PackedSequence.
            hx: h and c, (L, B, w) each, or (L, w) without batch.
            lengths: (B,) whole numbers from 0 to T. Past a row's end the input is never read and y is zero.
            resets: (T, B) bool, laid out as the input. Before a step that is set, the row's states become zero; in
                the reverse direction the cut lies between that step and the one before.
            record: names of quantities of the cell, such as "f", to return at every step.

        Returns:
            y, (h, c), and with record a dictionary from name to (L, T, B, w), or (L, B, T, w) with batch_first.

        Raises:
            TypeError, ValueError: for input that does not fit, or if the engine cannot serve.
        """
        y, state, seen = driver.forward(self._stack(), input, hx, lengths, resets, record, {})
        return (y, state, seen) if record else (y, state)

    def step(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, driver.States]:
        """Advances one step: x (B, D) or (D,) and (h, c), (L, B, w) or (L, w) each; returns y (B, w) and (h, c).

        Raises ValueError for a bidirectional layer.

        >>> import torch
        >>> layer = LSTM(3, 4)
        >>> y, state = layer.step(torch.randn(2, 3))
        >>> y, state = layer.step(torch.randn(2, 3), state)
        """
        return driver.step(self._stack(), x, state, {})


@constant
def _layout(H: int, projected: bool) -> Layout:
    return _make_layout(H, projected)  # torch.compile looks through a cache that it can see


@lru_cache(maxsize=512)
def _make_layout(H: int, projected: bool) -> Layout:
    gates = [(f"{letter}_{gate}", k, row * H, H) for k, letter in enumerate("WUb") for row, gate in enumerate(GATES)]
    return (*gates, ("W_hr", 3, 0, 0)) if projected else tuple(gates)
