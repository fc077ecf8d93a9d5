"""LSTM-FCN: a recurrent branch beside a fully convolutional one, for classifying time series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from carousel.cells import lstm
from carousel.graph import Cell
from carousel.layers import Recurrent


class LSTMFCN(nn.Module):
    """Classifies sequences of one length, of one variable or several.

    Karim, Majumdar, Darabi & Chen, "LSTM fully convolutional networks for time series classification", IEEE Access 6,
    2018, doi:10.1109/ACCESS.2017.2779939. The recurrent branch sees the *dimension-shuffled* input: each variable is
    one step, whose features are the variable's values at all times. The other branch is three convolutions (128 of
    width 8, 256 of 5, 128 of 3), each with batch normalisation and relu, averaged over time.

    Args:
        length: T, of every sequence.
        num_classes: of the output.
        variables: D.
        hidden_size: of the recurrent branch; the authors search among 8, 64 and 128.
        cell: of the recurrent branch.
        dropout: of its output, 0.8 as the authors' code has it.
        engine, sizes: as for `Recurrent`, of the recurrent branch.

    Raises ValueError for input of another shape.

    >>> net = LSTMFCN(length=24, num_classes=2)
    >>> net(torch.randn(5, 24, 1)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        length: int,
        num_classes: int,
        *,
        variables: int = 1,
        hidden_size: int = 8,
        cell: Cell = lstm,
        dropout: float = 0.8,
        engine: str = "auto",
        **sizes: Any,
    ) -> None:
        super().__init__()
        self.length, self.variables = length, variables
        self.recurrent = Recurrent(cell, length, hidden_size, batch_first=True, engine=engine, **sizes)
        self.dropout = nn.Dropout(dropout)
        self.convolutions = nn.Sequential(
            *_convolution(variables, 128, 8), *_convolution(128, 256, 5), *_convolution(256, 128, 3)
        )
        width = cell.output_width(**self.recurrent.sizes)
        self.output = nn.Linear(width + 128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, num_classes), before the softmax, of x (B, T, D)."""
        if x.dim() != 3 or x.shape[1:] != (self.length, self.variables):
            raise ValueError(
                f"LSTMFCN: x has shape {tuple(x.shape)}, expected (B, T, D) with T = {self.length} and "
                f"D = {self.variables}."
            )
        shuffled = x.transpose(1, 2)  # (B, D, T): D steps of T features
        y, _ = self.recurrent(shuffled)
        averaged = self.convolutions(shuffled).mean(-1)
        return self.output(torch.cat([self.dropout(y[:, -1]), averaged], -1))


def _convolution(channels: int, filters: int, width: int) -> tuple[nn.Module, ...]:
    """As many steps out as in: an even filter reaches one step further to the right."""
    convolution = nn.Conv1d(channels, filters, width)
    nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
    around = nn.ZeroPad1d(((width - 1) // 2, width // 2))
    return around, convolution, nn.BatchNorm1d(filters, eps=1e-3, momentum=0.01), nn.ReLU()
