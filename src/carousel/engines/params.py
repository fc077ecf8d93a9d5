"""How a layer hands parameters to an engine: tensors, or rows of a larger tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Rows(NamedTuple):
    """Rows `start : start + length` of `tensor`, differentiable into the whole of it.

    PyTorch keeps the four gates of an LSTM in one matrix; the cell knows four. An engine that takes the place in
    memory instead of a copy needs to know which tensor the rows belong to.

    >>> Rows(torch.arange(6), 2, 3).view()
    tensor([2, 3, 4])
    """

    tensor: torch.Tensor
    start: int
    length: int

    def view(self) -> torch.Tensor:
        return self.tensor.narrow(0, self.start, self.length)


Parameter = torch.Tensor | Rows


def as_tensor(parameter: Parameter) -> torch.Tensor:
    """The tensor that a parameter stands for."""
    return parameter.view() if isinstance(parameter, Rows) else parameter
