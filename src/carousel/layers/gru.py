"""`GRU` and `RNN`: PyTorch's layers, run by cells of ours. Legend: H hidden units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from carousel import cells
from carousel.engines.params import Parameter, Rows
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

    def _weights(self, end: str) -> dict[str, Parameter]:
        H, w_ih, w_hh = self.hidden_size, getattr(self, f"weight_ih{end}"), getattr(self, f"weight_hh{end}")
        b_ih, b_hh = self._biases(end, w_ih)
        both = b_ih + b_hh
        found: dict[str, Parameter] = {f"W_{gate}": Rows(w_ih, k * H, H) for k, gate in enumerate("rzn")}
        found |= {f"U_{gate}": Rows(w_hh, k * H, H) for k, gate in enumerate("rzn")}
        found |= {"b_r": Rows(both, 0, H), "b_z": Rows(both, H, H)}
        return found | {"b_n": Rows(b_ih, 2 * H, H), "b_hn": Rows(b_hh, 2 * H, H)}


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

    def _weights(self, end: str) -> dict[str, Parameter]:
        b_ih, b_hh = self._biases(end, getattr(self, f"weight_ih{end}"))
        return {"W": getattr(self, f"weight_ih{end}"), "U": getattr(self, f"weight_hh{end}"), "b": b_ih + b_hh}
