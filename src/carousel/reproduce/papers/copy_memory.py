"""Ten symbols, kept over 1,000 steps and repeated.

Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
2018, arXiv:1803.01271, Table 1; the task is that of Arjovsky, Shah & Bengio (2016, arXiv:1511.06464). Ten symbols from
1 to 8, T - 1 zeros, then eleven 9s, the first of which asks for the answer: while the last ten are read, the ten
symbols are to be given in order, and 0 until then. The loss is the cross-entropy, averaged over all T + 20 steps;
who remembers nothing and knows when to answer has 10 ln 8 / (T + 20). Sizes of the training set (10,000) and of
batches (32) are as remembered.

The paper's LSTM has about 16,000 weights; ours reads the symbol as one number, as theirs, and has 60 units.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.reproduce.experiment import (
    AS_PUBLISHED,
    DERIVED,
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
from carousel.reproduce.training import Reader, Rows, batches, chrono_, curve, train, weights

SYMBOLS, KEPT, ASK = 8, 10, 9


def copies(count: int, lag: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is read and what is to be answered, (N, lag + 20) whole numbers each.

    >>> x, answers = copies(1, 5, torch.Generator().manual_seed(0))
    >>> x[0, 10:].tolist(), answers[0, :15].any().item()
    ([0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], False)
    >>> torch.equal(x[0, :10], answers[0, 15:])
    True
    """
    kept = torch.randint(1, SYMBOLS + 1, (count, KEPT), generator=generator)
    x = torch.cat([kept, torch.zeros(count, lag - 1).long(), torch.full((count, KEPT + 1), ASK)], 1)
    return x, torch.cat([torch.zeros(count, lag + KEPT).long(), kept], 1)


def memoryless(lag: int) -> float:
    """The loss of who knows when to answer, and nothing more."""
    return KEPT * math.log(SYMBOLS) / (lag + 2 * KEPT)


def run(
    work: Work, *, lag: int, count: int, hidden_size: int, one_hot: bool, start: str, learning_rate: float, epochs: int
) -> list[Trial]:
    """One trial; what is reported is the test loss after the last epoch."""
    from carousel.train import ClipNorm, Lesson

    generator = torch.Generator().manual_seed(work.seed)
    training, test = (Rows(*copies(n, lag, generator)) for n in (count, 1000))
    model = Reader("lstm", ASK + 1 if one_hot else 1, hidden_size, ASK + 1)
    if start == "chrono":
        chrono_(model.layer, lag + KEPT)

    def loss(model: Reader, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
        x, answers = batch[0].T, batch[1].T
        x = F.one_hot(x, ASK + 1).float() if one_hot else x[..., None].float()
        return F.cross_entropy(model(x).flatten(0, 1), answers.flatten(), reduction="sum"), answers.numel()

    def recalled(model: Reader, batch: tuple[Tensor, Tensor]) -> dict[str, tuple[Tensor, int]]:
        x, answers = batch[0].T, batch[1].T
        x = F.one_hot(x, ASK + 1).float() if one_hot else x[..., None].float()
        said = model(x)
        right = said[-KEPT:].argmax(-1) == answers[-KEPT:]
        total = F.cross_entropy(said.flatten(0, 1), answers.flatten(), reduction="sum")
        return {"loss": (total, answers.numel()), "wrong": ((~right).sum().float(), right.numel())}

    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    lesson = Lesson(model, loss, optimizer, score=recalled, clip=ClipNorm(1.0))
    seen = train(work, lesson, batches(training, 32, work.seed), batches(test, 250), epochs=epochs).history
    history = curve(seen, "validation_loss")
    return [
        {
            "test loss": history[-1][1],
            "symbols recalled": 1 - seen[-1]["validation_wrong"],
            "of the memoryless loss": history[-1][1] / memoryless(lag),
            "weights": weights(model),
            "test loss by update": history,
        }
    ]


OPTIONS = {
    "lag": 1000, "count": 10_000, "hidden_size": 60, "one_hot": False, "start": "forget bias 1",
    "learning_rate": 2e-3, "epochs": 10,
}  # fmt: skip
CHRONO = {**OPTIONS, "one_hot": True, "start": "chrono"}
QUICK = {"epochs": 2}
PAPER = {"test loss": Figure(0.0204, VERIFIED)}
NOTHING = {"test loss": Figure(round(memoryless(100), 4), DERIVED, "to remember nothing")}

copy_memory = Experiment(
    name="copy_memory",
    title="Copy memory",
    citation="Bai, Kolter & Koltun, 2018, arXiv:1803.01271, Table 1.",
    run=run,
    measures=(Measure("test loss", "lower"), Measure("symbols recalled", "higher", "share")),
    settings=(
        Setting("lstm", "T = 1000, LSTM of 60 units, forget bias 1, Adam", OPTIONS, AS_PUBLISHED, PAPER, quick=QUICK),
        Setting("lstm_chrono", "T = 1000, one-hot input, biases for 1,000 steps", CHRONO, TODAY, PAPER, quick=QUICK),
        Setting(
            "lstm_chrono_100",
            "T = 100, otherwise the same",
            {**CHRONO, "lag": 100},
            TODAY,
            NOTHING,
            quick={"epochs": 5},
            explanation=(
                "In 3,130 updates it learns when to answer and hardly a symbol: 13.0 % are right, where guessing has "
                "12.5 %, and the loss still falls with each epoch."
            ),
        ),
    ),
    trials=1,
    quick=Quick(1, "10 epochs to 2, with T = 100 to 5"),
    curves={"test loss by update": Axes("update (32 sequences)", "test loss", logarithmic="y")},
)
