"""A small model and its data for the tests of training; run as a program, a training that can be killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import carousel as ca
from carousel import train

K = 5  # symbols


class Predictor(nn.Module):
    """Symbols in, scores of the next one out."""

    def __init__(self, cell: Any, dropout: float = 0.0, **settings: Any):
        super().__init__()
        cell = getattr(ca.cells, cell) if isinstance(cell, str) else cell
        settings |= {"blocks": 4} if "blocks" in cell.sizes else {}
        self.layer = ca.Recurrent(cell, input_size=K, hidden_size=8, **settings)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, K)

    def forward(self, x: Tensor, state: Any, resets: Tensor | None) -> tuple[Tensor, Any]:
        one = F.one_hot(x, K).to(self.head.weight)
        y, state = self.layer(one, state, resets=resets)
        return self.head(self.dropout(y)), state


def loss(model: nn.Module, chunk: train.Chunk, state: Any) -> Any:
    """The sum of the cross entropies, their count, and the next state."""
    y, state = model(chunk.x, state, chunk.resets)
    return (F.cross_entropy(y.flatten(0, 1), chunk.target.flatten(), reduction="sum"), chunk.target.numel()), state


def text(length: int = 301) -> tuple[np.ndarray, np.ndarray]:
    """Symbols with a rhythm and some noise, and which follows each."""
    rng = np.random.default_rng(0)
    symbols = np.where(rng.random(length + 1) < 0.2, rng.integers(0, K, length + 1), np.arange(length + 1) % K)
    return symbols[:-1], symbols[1:]


def streamed(folder: Path, overlap: int, resume: bool, after: Callable[[list], Any]) -> tuple[train.Outcome, Predictor]:
    """A truncated training with dropout and averaged weights, whose rounds are no epochs; `after` is called a round."""
    torch.manual_seed(0)
    model = Predictor("lstm", dropout=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    lesson = train.Lesson(model, loss, optimizer, truncation=train.Truncated(overlap), average=0.9)
    chunks, exam = (train.Chunks(*text(length), batch_size=3, steps=5) for length in (301, 100))
    return train.fit(lesson, chunks, exam, updates=60, every=7, stop=after, folder=folder, resume=resume), model


def wait(history: list) -> bool:
    """Say that a round is done, and wait to be killed."""
    print(len(history), flush=True)
    time.sleep(0.5)
    return False


if __name__ == "__main__":
    torch.set_num_threads(1)
    streamed(Path(sys.argv[1]), 1, False, wait)
