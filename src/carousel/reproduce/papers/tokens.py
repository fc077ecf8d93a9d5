"""Tasks on tokens: what the experiments with formal languages and with recall share.

Legend: T time, B batch, V tokens, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.layers import Recurrent
from carousel.nets import XLSTM

WEIGHT_DECAY = 0.1


def body(kind: str, size: int, layers: int) -> nn.Module:
    """Layers from (T, B, size) to the same: "lstm" and such, a cell's name, or blocks of the xLSTM.

    "xlstm[0:1]" has sLSTM blocks alone, without convolution, "xlstm[1:0]" mLSTM blocks alone, "xlstm[1:1]" both.

    >>> body("xlstm[1:0]", 16, 2)(torch.randn(5, 3, 16))[0].shape
    torch.Size([5, 3, 16])
    """
    if not kind.startswith("xlstm"):
        return Recurrent(cells.load(kind), size, size, num_layers=layers)
    if kind == "xlstm[0:1]":
        return XLSTM(size, num_layers=layers, slstm_at=range(layers), conv_width=0)
    return XLSTM(size, num_layers=layers, slstm_at=range(1, layers, 2) if kind == "xlstm[1:1]" else ())


class TokenNet(nn.Module):
    """An embedding, a body, and an affine output: (T, B) whole numbers to (T, B, K)."""

    def __init__(self, body: nn.Module, tokens: int, size: int, classes: int):
        super().__init__()
        self.embedding, self.body, self.output = nn.Embedding(tokens, size), body, nn.Linear(size, classes)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The scores of each class at each step."""
        return self.output(self.body(self.embedding(tokens), lengths=lengths)[0])


def optimizer(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW as in the xLSTM paper: betas 0.9 and 0.99, decay of matrices."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99))


def warm_cosine(updates: int, warm: float = 0.1, last: float = 0.01) -> Callable[[int, int], float]:
    """A schedule: up in a line for the first tenth, then down on a cosine to 1 % of the learning rate.

    >>> schedule = warm_cosine(100)
    >>> schedule(0, 4), schedule(0, 9), round(schedule(0, 99), 3)
    (0.5, 1.0, 0.01)
    """
    rise = max(1, round(updates * warm))

    def schedule(epoch: int, update: int) -> float:
        if update < rise:
            return (update + 1) / rise
        done = (update + 1 - rise) / max(1, updates - rise)
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2

    return schedule


def scaled(correct: float, classes: int) -> float:
    """A share of right answers, brought to 0 for guessing and 1 for all right.

    >>> scaled(0.5, 2), scaled(1.0, 5)
    (0.0, 1.0)
    """
    return (correct - 1 / classes) / (1 - 1 / classes)
