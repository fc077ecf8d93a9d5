"""Classifying time series by LSTM-FCN.

Karim, Majumdar, Darabi & Chen, "LSTM fully convolutional networks for time series classification", IEEE Access 6, 2018,
doi:10.1109/ACCESS.2017.2779939, and the authors' code (github.com/titu1994/LSTM-FCN), whose file of results has the
figures for weights chosen by the training loss; the paper's own table chooses by test accuracy. Adam at 1e-3, brought
down by 2^(-1/3) to 1e-4 after each 100 epochs in which the training loss did not improve, 2,000 epochs, batches of 128,
classes weighted by how rare they are, series scaled by mean and deviation.

Deviates: the training loss that chooses the weights is taken after each epoch, without dropout, where theirs is the
mean during it; 8 units in the recurrent branch for every set, where the authors search among 8, 64 and 128.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.nets import LSTMFCN
from carousel.reproduce.data.series import Cases, files, read
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
from carousel.reproduce.training import Rows, batches, curve, train, weights

RATE, LEAST, FACTOR = 1e-3, 1e-4, 2 ** (-1 / 3)


class Plateau:
    """The learning rate of a history: lower after each `patience` rounds without a better training loss.

    >>> plateau = Plateau(2)
    >>> [round(plateau.factor([3.0, 2.0, 2.5, 2.6, 2.7][:k]), 3) for k in range(1, 6)]
    [1.0, 1.0, 1.0, 0.794, 0.794]
    """

    def __init__(self, patience: int):
        self.patience, self.now = patience, 1.0

    def factor(self, losses: list[float]) -> float:
        """What the first learning rate is multiplied by after these losses."""
        best, waited, factor = float("inf"), 0, 1.0
        for loss in losses:
            best, waited = (loss, 0) if loss < best else (best, waited + 1)
            if waited == self.patience:
                factor, waited = max(factor * FACTOR, LEAST / RATE), 0
        return factor

    def look(self, history: list[dict[str, float]]) -> bool:
        """After each round; never stops."""
        self.now = self.factor([row["train_loss"] for row in history[1:]])
        return False

    def schedule(self, epoch: int, update: int) -> float:
        """What the learning rate is multiplied by now."""
        return self.now


def rarity(classes: Tensor, count: int) -> Tensor:
    """The weight of each class: the number of cases over that of its own, so that all weigh the same together.

    >>> rarity(torch.tensor([0, 0, 0, 1]), 2).tolist()
    [0.6666666865348816, 2.0]
    """
    return len(classes) / (count * torch.bincount(classes, minlength=count))


def run(work: Work, *, name: str, hidden_size: int, batch_size: int, patience: int, epochs: int) -> list[Trial]:
    """One trial: the accuracy on the test set of the weights with the least training loss."""
    from carousel.train import Lesson

    training, test, count = read(*map(work.file, files(name)))
    model = LSTMFCN(training.x.shape[1], count, variables=training.x.shape[2], hidden_size=hidden_size)
    weight, plateau = rarity(training.classes, count), Plateau(patience)

    def loss(model: LSTMFCN, batch: Any) -> tuple[Tensor, int]:
        return F.cross_entropy(model(batch[0]), batch[1], weight, reduction="sum"), len(batch[1])

    lesson = Lesson(model, loss, torch.optim.Adam(model.parameters(), lr=RATE), schedule=plateau.schedule)
    rows = Rows(*training)
    seen = train(
        work, lesson, batches(rows, batch_size, work.seed), batches(rows, 512), epochs=epochs, stop=plateau.look
    ).history
    history = curve(seen, "validation_loss")
    return [
        {
            "test accuracy": accuracy(model, test),
            "weights": weights(model),
            "training loss by update": history[:: max(1, len(history) // 200)],
        }
    ]


def accuracy(model: LSTMFCN, cases: Cases) -> float:
    """The share of cases that are classified rightly."""
    model.eval()
    with torch.no_grad():
        return (model(cases.x).argmax(1) == cases.classes).float().mean().item()


OPTIONS = {"hidden_size": 8, "batch_size": 128, "patience": 100, "epochs": 2000}
SETS = {
    "GunPoint": Figure(1.0, VERIFIED),
    "ItalyPowerDemand": Figure(0.9621, VERIFIED),
    "ECG200": Figure(0.87, VERIFIED),
    "SyntheticControl": Figure(0.987, REMEMBERED),
}

lstm_fcn = Experiment(
    name="lstm_fcn",
    title="LSTM-FCN on sets of the UCR archive",
    citation="Karim, Majumdar, Darabi & Chen, 2018, doi:10.1109/ACCESS.2017.2779939, and the authors' file of results.",
    run=run,
    measures=(Measure("test accuracy", "higher", "share"),),
    settings=[
        Setting(name, f"{name}, 8 units", {"name": name, **OPTIONS}, AS_PUBLISHED, {"test accuracy": figure},
                quick={"epochs": 200})
        for name, figure in SETS.items()
    ],
    trials=3,
    quick=Quick(1, "2,000 epochs to 200, and 3 trials to 1"),
    curves={"training loss by update": Axes("update", "training loss", logarithmic=True)},
    needs=tuple(file for name in SETS for file in files(name)),
)  # fmt: skip
