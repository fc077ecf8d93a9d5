"""The search space odyssey: the vanilla LSTM and eight ablations, each by random search, on Bach's chorales.

`odyssey_digits` is the same search on speech.

Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, "LSTM: a search space odyssey", IEEE Transactions on Neural
Networks and Learning Systems 28(10), 2017, doi:10.1109/TNNLS.2016.2582924. 200 samples a variant: blocks log-uniform
in [20, 200], learning rate log-uniform in [1e-6, 1e-2], momentum 1 minus log-uniform in [0.01, 1], deviation of the
input noise uniform in [0, 1]. As remembered: an update a sequence with Nesterov momentum, weights from N(0, 0.1), at
most 150 epochs, stopped after 15 without improvement, and the figure of 8.38 nats a step for the best on JSB (NIAF).

A trial is one search; its score on the test set is that of the sample that did best in validation, and beside it stands
the mean of the best tenth, likewise chosen. The loss of a sequence, and so the size of an update, is the sum over its
steps. What a hyper-parameter explains is the variance of a parabola in it, over that of the logarithm of the test score
(at most that of chance), where four parabolas are fitted together; the paper fits forests of regression trees instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.reproduce.data.music import KEYS, Pieces, collate, read, surprise
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
from carousel.reproduce.papers.polyphonic_music import JSB, MOST, Composer, loss, score
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
LEAST = 20  # samples from which shares of variance are told


def sample(generator: torch.Generator) -> dict[str, Any]:
    """Hyper-parameters at random.

    >>> sorted(sample(torch.Generator().manual_seed(0)))
    ['hidden_size', 'learning_rate', 'momentum', 'noise']
    """
    u = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    return {
        "hidden_size": round(_log_uniform(u[0], 20, 200)),
        "learning_rate": _log_uniform(u[1], 1e-6, 1e-2),
        "momentum": 1 - _log_uniform(u[2], 0.01, 1),
        "noise": u[3],
    }


def _log_uniform(u: float, low: float, high: float) -> float:
    return low * (high / low) ** u


def start(model: nn.Module) -> None:
    """All weights from N(0, 0.1)."""
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.1)


def search(
    work: Work,
    what: str,
    samples: int,
    learn: Callable[[Work, dict[str, Any]], tuple[float, float] | None],
    chance: float,
) -> Trial:
    """One search; what is finished of it is kept.

    Args:
        what: the score is called, the less the better.
        learn: gives the scores in validation and test of a net with these hyper-parameters, None where it diverged.
        chance: the score of a net that has learned nothing, which one that diverged is given.
    """
    generator = torch.Generator().manual_seed(work.seed)
    drawn = [sample(generator) for _ in range(samples)]
    found: list[dict[str, Any]] = (work.load() or {"found": []})["found"]
    for k in range(len(found), samples):
        part = work.part(f"sample-{k + 1}", k / samples, (k + 1) / samples)
        torch.manual_seed(work.seed * 1_000_003 + k)
        validation, test = learn(part, drawn[k]) or (chance, chance)
        found.append({**drawn[k], "validation": validation, "test": test})
        work.save({"found": found})
    by_rate = sorted((one["learning_rate"], one["test"]) for one in found)
    return {**_best(found, what), **importance(found, chance), f"{what} by learning rate": by_rate}


def _best(found: Sequence[dict[str, float]], what: str) -> dict[str, float]:
    """The sample that did best in validation, and the best tenth."""
    ranked = sorted(found, key=lambda one: one["validation"])
    tenth = ranked[: math.ceil(len(ranked) / 10)]
    chosen = {f"best {name}": ranked[0][name] for name in ("hidden_size", "learning_rate", "momentum", "noise")}
    mean = sum(one["test"] for one in tenth) / len(tenth)
    validation = what.replace("test", "validation")
    return {what: ranked[0]["test"], validation: ranked[0]["validation"], f"{what}, best tenth": mean, **chosen}


def importance(found: Sequence[dict[str, float]], chance: float) -> dict[str, float]:
    """The shares of the variance of the logarithm of the test score that learning rate and hidden size explain.

    >>> u = np.linspace(0, 1, 40)
    >>> one = [{"hidden_size": 20 + k, "learning_rate": 1e-6 * 10**(4 * a), "momentum": 0.5 + 0.3 * (k % 2),
    ...         "noise": k % 7 / 7, "test": float(np.exp(2 + a))} for k, a in zip(np.arange(40) * 17 % 40, u)]
    >>> round(importance(one, 60.0)["explained by learning rate"], 2)
    1.0
    """
    if len(found) < LEAST:
        return {}
    score = np.log([min(one["test"], chance) for one in found])
    parts = {
        "learning rate": np.log([one["learning_rate"] for one in found]),
        "hidden size": np.log([one["hidden_size"] for one in found]),
        "momentum": np.log1p([-one["momentum"] for one in found]),
        "noise": np.array([one["noise"] for one in found]),
    }
    columns = [_parabola(values) for values in parts.values()]
    weights = np.linalg.lstsq(np.concatenate(columns, 1), score - score.mean(), rcond=None)[0].reshape(-1, 2)
    shares = [np.var(c @ w) / np.var(score) for c, w in zip(columns, weights, strict=True)]
    return {f"explained by {name}": float(s) for name, s in list(zip(parts, shares, strict=True))[:2]}


def _parabola(values: np.ndarray) -> np.ndarray:
    """(N, 2): standardised, and its square, with mean 0."""
    x = (values - values.mean()) / values.std()
    return np.stack([x, x**2 - 1], 1)


class Noisy(Composer):
    """A composer that hears its chords through noise while it learns."""

    def __init__(self, cell: str, hidden_size: int, noise: float):
        super().__init__(cell, hidden_size)
        self.noise = noise

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The scores, before the logistic function."""
        return super().forward(x + self.noise * torch.randn_like(x) if self.training else x, lengths)


def summed(model: Noisy, batch: Pieces) -> Tensor:
    """What a sequence costs, all steps together."""
    return surprise(model(batch.x, batch.lengths), batch)[0]


def run(work: Work, *, cell: str, samples: int, epochs: int, patience: int) -> list[Trial]:
    """One search."""
    from carousel.train import Batches, Lesson, Order, Patience, Shuffle

    music = read(work.file(JSB))
    training = Batches(music.training, Shuffle(len(music.training), 1, work.seed), collate)
    validation = Batches(music.validation, Order(len(music.validation), MOST), collate)

    def learn(part: Work, drawn: dict[str, Any]) -> tuple[float, float] | None:
        model = Noisy(cell, drawn["hidden_size"], drawn["noise"])
        start(model)
        lesson = Lesson(model, summed, nesterov(model, drawn), score=loss)
        try:
            seen = train(part, lesson, training, validation, epochs=epochs, stop=Patience(patience))
        except FloatingPointError:
            return None
        return seen.best["validation_loss"], score(model, music.test)

    return [search(work, "test NLL", samples, learn, KEYS * math.log(2))]


def nesterov(model: nn.Module, drawn: dict[str, Any]) -> torch.optim.Optimizer:
    """Descent with the rate and the momentum that were drawn."""
    momentum = drawn["momentum"]
    return torch.optim.SGD(model.parameters(), lr=drawn["learning_rate"], momentum=momentum, nesterov=momentum > 0)


OPTIONS = {"samples": 200, "epochs": 150, "patience": 15}
QUICK = {"samples": 20, "epochs": 5}


def _setting(name: str, title: str) -> Setting:
    figure = Figure(8.38, REMEMBERED, "the best of all variants")
    paper = {"test NLL": figure} if name == "niaf" else {}
    return Setting(name, title, {"cell": f"lstm_{name}", **OPTIONS}, AS_PUBLISHED, paper, quick=QUICK)


odyssey = Experiment(
    name="odyssey",
    title="Search space odyssey on Bach's chorales",
    citation="Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, 2017, doi:10.1109/TNNLS.2016.2582924.",
    run=run,
    measures=(
        Measure("test NLL", "lower"),
        Measure("test NLL, best tenth", "lower"),
        Measure("explained by learning rate", "neither", "share"),
        Measure("explained by hidden size", "neither", "share"),
    ),
    settings=[_setting(name, title) for name, title in VARIANTS.items()],
    trials=1,
    quick=Quick(1, "200 samples of each search to 20, and 150 epochs to 5"),
    curves={"test NLL by learning rate": Axes("learning rate", "test NLL, nats a step", logarithmic="x")},
    needs=(JSB,),
)
