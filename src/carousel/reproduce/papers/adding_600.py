"""Adding two of 600 numbers, as sequence models are compared on it today.

Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
2018, arXiv:1803.01271, Table 1. At each of T steps a number from U[0, 1] and a mark, 1 at two steps chosen at random
and 0 elsewhere; the target is the sum of the two marked numbers. 50,000 sequences to train on, 1,000 to test; always
to answer 1 has the mean squared error 1/6 (0.1767 on the authors' test set).

The paper's LSTM has about 70,000 weights, forget biases and clipping from a grid that it does not print; ours has one
layer of 130 units (70,000 weights), Adam, and the forget bias as is said with each setting.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.reproduce.experiment import (
    AS_PUBLISHED,
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


class Sums(NamedTuple):
    """Adding tasks: numbers (N, T), the two marked steps (N, 2), targets (N,)."""

    values: Tensor
    marked: Tensor
    target: Tensor


def sums(count: int, steps: int, generator: torch.Generator) -> Sums:
    """Draw tasks; the two steps differ.

    >>> tasks = sums(3, 10, torch.Generator().manual_seed(0))
    >>> torch.equal(tasks.target, tasks.values.gather(1, tasks.marked).sum(1))
    True
    """
    values = torch.rand(count, steps, generator=generator)
    first = torch.randint(steps, (count,), generator=generator)
    other = torch.randint(steps - 1, (count,), generator=generator)
    marked = torch.stack([first, other + (other >= first)], 1)
    return Sums(values, marked, values.gather(1, marked).sum(1))


def sequences(values: Tensor, marked: Tensor) -> Tensor:
    """What a net reads: (T, B, 2), the numbers and the marks."""
    marks = torch.zeros_like(values).scatter_(1, marked, 1.0)
    return torch.stack([values.T, marks.T], 2)


def loss(model: Reader, batch: Sums) -> tuple[Tensor, int]:
    """The squared error, summed, and of how many."""
    values, marked, target = batch
    return F.mse_loss(model(sequences(values, marked))[:, 0], target, reduction="sum"), len(target)


def run(
    work: Work, *, steps: int, count: int, hidden_size: int, start: str, learning_rate: float, epochs: int
) -> list[Trial]:
    """One trial; the test set is looked at after each epoch, and what is reported is the last look."""
    from carousel.train import ClipNorm, Lesson

    generator = torch.Generator().manual_seed(work.seed)
    training, test = (Rows(*sums(n, steps, generator)) for n in (count, 1000))
    model = Reader("lstm", 2, hidden_size, 1, last=True)
    if start == "chrono":
        chrono_(model.layer, steps)
    lesson = Lesson(model, loss, torch.optim.Adam(model.parameters(), lr=learning_rate), clip=ClipNorm(1.0))
    seen = train(work, lesson, batches(training, 32, work.seed), batches(test, 250), epochs=epochs).history
    history = curve(seen, "validation_loss")
    return [{"test loss": history[-1][1], "weights": weights(model), "test loss by update": history}]


OPTIONS = {
    "steps": 600, "count": 50_000, "hidden_size": 130, "start": "forget bias 1", "learning_rate": 2e-3, "epochs": 10,
}  # fmt: skip
QUICK = {"hidden_size": 64, "epochs": 2}
PAPER = {"test loss": Figure(0.164, VERIFIED, "after a grid search")}

adding_600 = Experiment(
    name="adding_600",
    title="Adding, 600 steps",
    citation="Bai, Kolter & Koltun, 2018, arXiv:1803.01271, Table 1.",
    run=run,
    measures=(Measure("test loss", "lower"),),
    settings=(
        Setting("lstm", "LSTM of 130 units, forget bias 1, Adam", OPTIONS, AS_PUBLISHED, PAPER, quick=QUICK),
        Setting(
            "lstm_chrono",
            "the same with biases for memories of up to 600 steps (Tallec & Ollivier, 2018)",
            {**OPTIONS, "start": "chrono"},
            TODAY,
            PAPER,
            quick=QUICK,
        ),
    ),
    trials=1,
    quick=Quick(1, "10 epochs to 2, and 130 units to 64"),
    curves={"test loss by update": Axes("update (32 sequences)", "test loss", logarithmic="y")},
)
