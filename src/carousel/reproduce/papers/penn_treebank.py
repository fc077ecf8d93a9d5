"""Predicting the next word of the Penn Treebank: the small net without regularisation.

Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014, arXiv:1409.2329, and the authors' code.
Two layers of 200 units, words as vectors of 200; all weights from U[-0.1, 0.1]; 20 lanes of text, unrolled for 20 steps
with the state carried on; the gradient of the sum over the steps and the mean over the lanes, its norm clipped at 5;
learning rate 1 for 4 epochs, then halved in each; 13 epochs; no dropout. Both perplexities are read in one pass from
the first word to the last, with the state of the words before.

The authors' code halves the rate an epoch later than the paper says, which is followed here; its gates have two biases
where ours have one.
"""

from __future__ import annotations

import gzip
import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.experiment import (
    AS_PUBLISHED,
    REMEMBERED,
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

FILES = {part: f"ptb/ptb.{part}.txt.gz" for part in ("train", "valid", "test")}
ROUNDS = 10  # of an epoch; after each the state is saved


def words(path: Path) -> list[str]:
    """The words of a text, ``<eos>`` after each line."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return [word for line in text for word in (*line.split(), "<eos>")]


def numbered(texts: dict[str, list[str]]) -> tuple[dict[str, Tensor], int]:
    """The texts as numbers (N,), and how many different words there are.

    >>> texts, count = numbered({"train": ["a", "b", "a"], "test": ["b"]})
    >>> texts["train"].tolist(), texts["test"].tolist(), count
    ([0, 1, 0], [1], 2)
    """
    numbers = {word: k for k, (word, _) in enumerate(Counter(texts["train"]).most_common())}
    return {part: torch.tensor([numbers[word] for word in text]) for part, text in texts.items()}, len(numbers)


class LanguageModel(nn.Module):
    """Scores (T, B, words) of the next word, and the state, from words (T, B) and the state before."""

    def __init__(self, words: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(words, hidden_size)
        self.layer = Recurrent(cells.load("lstm"), hidden_size, hidden_size, num_layers=2)
        self.output = nn.Linear(hidden_size, words)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The next words' scores."""
        y, state = self.layer(self.embedding(x), state)
        return self.output(y), state


def loss(model: LanguageModel, chunk: Any, state: Any) -> tuple[tuple[Tensor, int], Any]:
    """The loss in nats, summed over steps and lanes, and how many lanes; with the next state."""
    scores, state = model(chunk.x, None if chunk.resets.any() else state)  # all lanes begin afresh together
    total = F.cross_entropy(scores.flatten(0, 1), chunk.target.flatten(), reduction="sum")
    return (total, chunk.x.shape[1]), state


def learning_rate(epoch: int) -> float:
    """1 in the first 4 epochs, then half of the epoch before.

    >>> [learning_rate(epoch) for epoch in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.25]
    """
    return 0.5 ** max(epoch - 3, 0)


@torch.no_grad()
def perplexity(model: LanguageModel, text: Tensor, steps: int = 1000) -> float:
    """Of a text, in one pass."""
    state, total = None, 0.0
    for x, target in zip(text[:-1].split(steps), text[1:].split(steps), strict=True):
        scores, state = model(x[:, None], state)
        total += F.cross_entropy(scores[:, 0], target, reduction="sum").item()
    return math.exp(total / (len(text) - 1))


def run(work: Work, *, hidden_size: int, steps: int, lanes: int, epochs: int, share: float) -> list[Trial]:
    """One trial, on the first ``share`` of the training text."""
    from carousel.train import Chunks, ClipNorm, Lesson, Truncated

    texts, count = numbered({part: words(work.file(name)) for part, name in FILES.items()})
    text = texts["train"][: int(share * len(texts["train"]))]
    chunks = Chunks(text[:-1], text[1:], batch_size=lanes, steps=steps)
    model = LanguageModel(count, hidden_size)
    lesson = Lesson(
        model,
        loss,
        torch.optim.SGD(model.parameters(), lr=1.0),
        clip=ClipNorm(5.0),
        schedule=lambda epoch, update: learning_rate(epoch),
        truncation=Truncated(),
    )
    rounds = -(-len(chunks) // ROUNDS)
    seen = train(work, lesson, chunks, updates=epochs * len(chunks), every=rounds).history
    curve = [(row["update"] / len(chunks), math.exp(row["train_loss"] / steps)) for row in seen if "train_loss" in row]
    found = {f"{part} perplexity": perplexity(model, texts[part]) for part in ("valid", "test")}
    return [{**found, "weights": weights(model), "training perplexity by epoch": curve}]


penn_treebank = Experiment(
    name="penn_treebank",
    title="Words of the Penn Treebank, the small net",
    citation="Zaremba, Sutskever & Vinyals, 2014, arXiv:1409.2329.",
    run=run,
    measures=(Measure("test perplexity", "lower"), Measure("valid perplexity", "lower")),
    settings=(
        Setting(
            "small",
            "2 layers of 200 units, no dropout",
            {"hidden_size": 200, "steps": 20, "lanes": 20, "epochs": 13, "share": 1.0},
            AS_PUBLISHED,
            {
                "test perplexity": Figure(115, VERIFIED, "the authors' code; 114.5 in the paper as remembered"),
                "valid perplexity": Figure(120.7, REMEMBERED),
            },
            quick={"epochs": 4, "share": 0.2},
        ),
    ),
    trials=1,
    quick=Quick(1, "the training text to its first fifth, and 13 epochs to 4"),
    curves={"training perplexity by epoch": Axes("epoch", "training perplexity", logarithmic="y")},
    needs=tuple(FILES.values()),
)
