"""`GRU` and `RNN`: PyTorch's layers, run by cells of ours. Legend: H hidden units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from carousel import cells
from carousel.engines.params import Parameters
from carousel.graph import relu
from carousel.layers.drop_in import OneState

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
        H, w_ih, w_hh = self.hidden_size, getattr(self, f"weight_ih{end}"), getattr(self, f"weight_hh{end}")
        b_ih, b_hh = self._biases(end, w_ih)
        layout = [
            (f"{letter}_{gate}", k, row * H, H) for k, letter in enumerate("WU") for row, gate in enumerate("rzn")
        ]
        layout += [("b_r", 2, 0, H), ("b_z", 2, H, H), ("b_n", 3, 2 * H, H), ("b_hn", 4, 2 * H, H)]
        return Parameters([w_ih, w_hh, b_ih + b_hh, b_ih, b_hh], tuple(layout))


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
        w_ih, w_hh = getattr(self, f"weight_ih{end}"), getattr(self, f"weight_hh{end}")
        b_ih, b_hh = self._biases(end, w_ih)
        return Parameters([w_ih, w_hh, b_ih + b_hh], (("W", 0, 0, 0), ("U", 1, 0, 0), ("b", 2, 0, 0)))
