"""The search space odyssey: the vanilla LSTM and eight ablations, each by random search, on Bach's chorales.

Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, "LSTM: a search space odyssey", IEEE Transactions on Neural
Networks and Learning Systems 28(10), 2017, doi:10.1109/TNNLS.2016.2582924. 200 samples a variant: blocks log-uniform
in [20, 200], learning rate log-uniform in [1e-6, 1e-2], momentum 1 minus log-uniform in [0.01, 1], deviation of the
input noise uniform in [0, 1]. As remembered: an update a sequence with Nesterov momentum, weights from N(0, 0.1), at
most 150 epochs, stopped after 15 without improvement, and the figure of 8.38 nats a step for the best on JSB (NIAF).

A trial is one search; its score on the test set is that of the sample which did best in validation. The loss of a
sequence is the mean over its steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from carousel.reproduce.data.music import Pieces, collate, read, surprise
from carousel.reproduce.experiment import (
    AS_PUBLISHED,
    REMEMBERED,
    Axes,
    Experiment,
    Figure,
    Measure,
    Quick,
    Setting,
    Trial,
    Work,
)
from carousel.reproduce.polyphonic_music import JSB, MOST, Composer, score
from carousel.reproduce.training import train

VARIANTS = {
    "vanilla": "the vanilla LSTM",
    "nig": "no input gate",
    "nfg": "no forget gate",
    "nog": "no output gate",
    "niaf": "no input activation function",
    "noaf": "no output activation function",
    "cifg": "coupled input and forget gate",
    "np": "no peepholes",
    "fgr": "full gate recurrence",
}


def sample(generator: torch.Generator, rates: list[float]) -> dict[str, Any]:
    """Hyper-parameters at random, as the paper draws them.

    >>> sorted(sample(torch.Generator().manual_seed(0), [1e-6, 1e-2]))
    ['hidden_size', 'learning_rate', 'momentum', 'noise']
    """
    u = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    return {
        "hidden_size": round(_log_uniform(u[0], 20, 200)),
        "learning_rate": _log_uniform(u[1], *rates),
        "momentum": 1 - _log_uniform(u[2], 0.01, 1),
        "noise": u[3],
    }


def _log_uniform(u: float, low: float, high: float) -> float:
    return low * (high / low) ** u


class Noisy(Composer):
    """A composer that hears its chords through noise while it learns."""

    noise = 0.0

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The scores, before the logistic function."""
        return super().forward(x + self.noise * torch.randn_like(x) if self.training else x, lengths)


def loss(model: Noisy, batch: Pieces) -> tuple[Tensor, Tensor]:
    """What a batch costs, and of how many steps."""
    return surprise(model(batch.x, batch.lengths), batch)


def run(work: Work, *, cell: str, samples: int, rates: list[float], epochs: int, patience: int) -> list[Trial]:
    """One search; what is finished of it is kept."""
    music = read(work.file(JSB))
    generator = torch.Generator().manual_seed(work.seed)
    drawn = [sample(generator, rates) for _ in range(samples)]
    found: list[dict[str, Any]] = (work.load() or {"found": []})["found"]
    for k in range(len(found), samples):
        part = work.part(f"sample-{k + 1}", k / samples, (k + 1) / samples)
        torch.manual_seed(work.seed * 1_000_003 + k)
        found.append(drawn[k] | _learn(part, music, cell, epochs, patience, **drawn[k]))
        work.save({"found": found})
    best = min(found, key=lambda one: one["validation"])
    return [
        {
            "test NLL": best["test"],
            "validation NLL": best["validation"],
            "best learning rate": best["learning_rate"],
            "best hidden size": best["hidden_size"],
            "best momentum": best["momentum"],
            "best noise": best["noise"],
            "test NLL by learning rate": sorted((math.log10(one["learning_rate"]), one["test"]) for one in found),
        }
    ]


def _learn(
    work: Work, music: Any, cell: str, epochs: int, patience: int, *, hidden_size: int, learning_rate: float,
    momentum: float, noise: float,
) -> dict[str, float]:  # fmt: skip
    """One sample: its scores, infinite where training diverged."""
    from carousel.train import Batches, Lesson, Order, Patience, Shuffle

    model = Noisy(cell, hidden_size)
    model.noise = noise
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.1)
    nesterov = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum, nesterov=momentum > 0)
    training = Batches(music.training, Shuffle(len(music.training), 1, work.seed), collate)
    validation = Batches(music.validation, Order(len(music.validation), MOST), collate)
    try:
        outcome = train(
            work, Lesson(model, loss, nesterov), training, validation, epochs=epochs, stop=Patience(patience)
        )
    except FloatingPointError:
        return {"validation": math.inf, "test": math.inf}
    return {"validation": outcome.best["validation_loss"], "test": score(model, music.test)}


OPTIONS = {"samples": 200, "rates": [1e-6, 1e-2], "epochs": 150, "patience": 15}
QUICK = {"samples": 3, "rates": [1e-3, 1e-2], "epochs": 6}


def _setting(name: str, title: str) -> Setting:
    paper = {"test NLL": Figure(8.38, REMEMBERED, "the best of all variants")}
    return Setting(
        name, title, {"cell": f"lstm_{name}", **OPTIONS}, AS_PUBLISHED, paper if name == "niaf" else {}, quick=QUICK
    )


odyssey = Experiment(
    name="odyssey",
    title="Search space odyssey on Bach's chorales",
    citation="Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, 2017, doi:10.1109/TNNLS.2016.2582924.",
    run=run,
    measures=(Measure("test NLL", "lower"), Measure("validation NLL", "lower")),
    settings=[_setting(name, title) for name, title in VARIANTS.items()],
    trials=1,
    quick=Quick(1, "200 samples to 3 with learning rates from 1e-3, and 150 epochs to 6"),
    curves={"test NLL by learning rate": Axes("log10 of the learning rate", "test NLL, nats a step")},
    needs=(JSB,),
)
