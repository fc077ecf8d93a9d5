"""`GRU` and `RNN`: PyTorch's layers, run by cells of ours. Legend: H hidden units."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from torch import nn

from carousel import cells
from carousel.engines.constant import constant
from carousel.engines.params import Layout, Parameters
from carousel.graph import relu
from carousel.layers.drop_in import OneState
from carousel.layers.lookup import tensor_of

if TYPE_CHECKING:
    from carousel.graph import Cell

ELMAN = {"RNN_TANH": cells.elman, "RNN_RELU": cells.elman.with_(f=relu)}


class GRU(OneState, nn.GRU):
    """`torch.nn.GRU`, run by the cell `carousel.cells.gru`; any code that takes the one takes the other.

    Takes `torch.nn.GRU`'s arguments, and `engine` and `checkpoint_every` as `carousel.LSTM`.

    >>> import torch
    >>> y, h = GRU(3, 4)(torch.randn(7, 2, 3))
    >>> h.shape
    torch.Size([1, 2, 4])
    """

    def _cell(self) -> Cell:
        return cells.gru

    def _weights(self, end: str) -> Parameters:
        w_ih, w_hh = tensor_of(self, "weight_ih" + end), tensor_of(self, "weight_hh" + end)
        b_ih, b_hh = self._biases(end, w_ih)
        return Parameters([w_ih, w_hh, b_ih + b_hh, b_ih, b_hh], _layout(self.hidden_size))


@constant
def _layout(H: int) -> Layout:
    return _make_layout(H)  # torch.compile looks through a cache that it can see


@lru_cache(maxsize=512)
def _make_layout(H: int) -> Layout:
    gates = [(f"{letter}_{gate}", k, row * H, H) for k, letter in enumerate("WU") for row, gate in enumerate("rzn")]
    return (*gates, ("b_r", 2, 0, H), ("b_z", 2, H, H), ("b_n", 3, 2 * H, H), ("b_hn", 4, 2 * H, H))


class RNN(OneState, nn.RNN):
    """`torch.nn.RNN`, run by the cell `carousel.cells.elman`; any code that takes the one takes the other.

    Takes `torch.nn.RNN`'s arguments, and `engine` and `checkpoint_every` as `carousel.LSTM`.

    >>> import torch
    >>> y, h = RNN(3, 4, nonlinearity="relu")(torch.randn(7, 2, 3))
    >>> y.shape
    torch.Size([7, 2, 4])
    """

    def _cell(self) -> Cell:
        return ELMAN[self.mode]

    def _weights(self, end: str) -> Parameters:
        w_ih, w_hh = tensor_of(self, "weight_ih" + end), tensor_of(self, "weight_hh" + end)
        b_ih, b_hh = self._biases(end, w_ih)
        return Parameters([w_ih, w_hh, b_ih + b_hh], (("W", 0, 0, 0), ("U", 1, 0, 0), ("b", 2, 0, 0)))
