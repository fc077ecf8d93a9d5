"""LSTM-FCN: classifying time series, an LSTM beside convolutions.

Karim, Majumdar, Darabi & Chen, "LSTM fully convolutional networks for time series classification", IEEE Access 6, 2018,
doi:10.1109/ACCESS.2017.2779939. Adam at 1e-3, which shrinks by the cube root of 2 where the training loss has not
fallen for 100 epochs, down to 1e-4; 2,000 epochs, batches of 128, each class weighted by how rare it is. The weights
kept are those of the epoch with the smallest training loss; the test set is read at the end alone.

The authors took the best of 8, 64 and 128 cells, by the test set; ours has 8 cells everywhere. Their table has one run
of each set; the figures are those of the results file in their repository, with this protocol.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.nets import LSTMFCN
from carousel.reproduce.data.series import Cases, padded, read
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

BATCH = 128
KEEP = 50  # epochs between two points of the curves, and two savings
FILE = "ucr_uea/{0}/{0}_{1}.ts.gz"


class Task(NamedTuple):
    """What a net is trained and tested on."""

    x: Tensor  # (N, T, D)
    y: Tensor  # (N,)
    test_x: Tensor
    test_y: Tensor
    classes: int


def task(training: Cases, test: Cases) -> Task:
    """Series of one variable get mean 0 and deviation 1 each, of several by those of the training set; padded."""
    names = sorted(set(training.labels))
    length = max(map(len, (*training.series, *test.series)))
    x, test_x = (_scaled(padded(cases.series, length), training.series) for cases in (training, test))
    y, test_y = (torch.tensor([names.index(label) for label in cases.labels]) for cases in (training, test))
    return Task(x, y, test_x, test_y, len(names))


def _scaled(x: Tensor, training: list[Tensor]) -> Tensor:
    if x.shape[2] == 1:
        return (x - x.mean(1, keepdim=True)) / (x.std(1, correction=0, keepdim=True) + 1e-8)
    values = torch.cat(training)
    inside = (x != 0).any(2, keepdim=True)  # of what is padded nothing is known
    return (x - values.mean()) / values.std() * inside


def class_weights(y: Tensor, classes: int) -> Tensor:
    """N / (classes * how many of the class).

    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 2.0000])
    """
    return len(y) / (classes * torch.bincount(y, minlength=classes))


class Training:
    """A net on its way through the epochs; its state is saved and loaded whole."""

    def __init__(self, task: Task, hidden_size: int, seed: int):
        self.task, self.weights = task, class_weights(task.y, task.classes)
        _, length, variables = task.x.shape
        self.net = LSTMFCN(length, task.classes, variables=variables, hidden_size=hidden_size)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=0.5 ** (1 / 3), patience=99, threshold=1e-4, threshold_mode="abs", min_lr=1e-4
        )
        self.random = torch.Generator().manual_seed(seed)
        self.epoch, self.least = 0, math.inf
        self.best: dict[str, Tensor] = {}  # weights of the epoch with the least loss
        self.curves: list[list[tuple[int, float]]] = [[], []]

    def one_epoch(self) -> None:
        """Every case once; then the weights are kept if the loss is the least so far."""
        self.net.train()
        order = torch.randperm(len(self.task.y), generator=self.random)
        loss = sum(self._update(batch) for batch in order.split(BATCH)) / len(order)
        self.plateau.step(loss)
        self.epoch += 1
        if loss < self.least:
            self.least = loss
            self.best = {name: value.clone() for name, value in self.net.state_dict().items()}
        if self.epoch % KEEP == 0:
            self.curves[0].append((self.epoch, loss))
            self.curves[1].append((self.epoch, self.accuracy()))

    def _update(self, batch: Tensor) -> float:
        y = self.task.y[batch]
        losses = F.cross_entropy(self.net(self.task.x[batch]), y, reduction="none") * self.weights[y]
        self.optimizer.zero_grad()
        losses.mean().backward()
        self.optimizer.step()
        return losses.sum().item()

    def accuracy(self) -> float:
        """On the test set, with the weights of now."""
        self.net.eval()
        with torch.no_grad():
            scores = torch.cat([self.net(x) for x in self.task.test_x.split(BATCH)])
        return (scores.argmax(1) == self.task.test_y).float().mean().item()

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        parts = {name: getattr(self, name).state_dict() for name in ("net", "optimizer", "plateau")}
        plain = {name: getattr(self, name) for name in ("epoch", "least", "best", "curves")}
        return {**parts, **plain, "random": self.random.get_state(), "global": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name in ("net", "optimizer", "plateau"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("epoch", "least", "best", "curves"):
            setattr(self, name, state[name])
        self.random.set_state(state["random"])
        torch.set_rng_state(state["global"])


def run(work: Work, *, dataset: str, hidden_size: int, epochs: int) -> list[Trial]:
    """One trial."""
    cases = [read(work.file(FILE.format(dataset, part))) for part in ("TRAIN", "TEST")]
    training = Training(task(*cases), hidden_size, work.seed)
    if state := work.load():
        training.load_state_dict(state)
    while training.epoch < epochs:
        training.one_epoch()
        work.progress(training.epoch / epochs, f"epoch {training.epoch}, loss {training.least:.2g}")
        if training.epoch % KEEP == 0:
            work.save(training.state_dict())
    training.net.load_state_dict(training.best)
    loss, accuracy = training.curves
    return [{"test accuracy": training.accuracy(), "training loss": training.least,
             "training loss by epoch": loss, "test accuracy by epoch": accuracy}]  # fmt: skip


NOTE = "results file of the authors' repository; best of 8, 64 and 128 cells by the test set"
PAPER = {
    "GunPoint": Figure(1.0, VERIFIED, NOTE),
    "ItalyPowerDemand": Figure(0.9621, VERIFIED, NOTE),
    "SyntheticControl": Figure(0.98667, VERIFIED, NOTE),
    "ECG200": Figure(0.87, VERIFIED, NOTE),
    "JapaneseVowels": Figure(1.0, REMEMBERED, "of MLSTM-FCN, which adds squeeze and excitation; Karim et al., 2019"),
}
TITLES = {
    "GunPoint": "50 to train on, 150 steps, 2 classes",
    "ItalyPowerDemand": "67 to train on, 24 steps, 2 classes",
    "SyntheticControl": "300 to train on, 60 steps, 6 classes",
    "ECG200": "100 to train on, 96 steps, 2 classes",
    "JapaneseVowels": "270 to train on, up to 29 steps of 12 variables, 9 classes",
}
EXPLANATIONS = {
    "ItalyPowerDemand": "From epoch 450 on no trial changes by more than 2 of the 1,029 test cases, and more cells do "
    "not help: 5 runs of 350 epochs have 95.7 % with 64 cells and 95.8 % with 128. The best of these 15 runs has "
    "95.9 %, 3 cases fewer than the one run that the authors print, which they chose by the test set.",
}


def _setting(name: str) -> Setting:
    options = {"dataset": name, "hidden_size": 8, "epochs": 2000}
    return Setting(
        name,
        TITLES[name],
        options,
        AS_PUBLISHED,
        {"test accuracy": PAPER[name]},
        quick={"epochs": 500 if name == "GunPoint" else 250},
        explanation=EXPLANATIONS.get(name, ""),
    )


lstm_fcn = Experiment(
    name="lstm_fcn",
    title="LSTM-FCN on time series of the UCR and UEA archives",
    citation="Karim, Majumdar, Darabi & Chen, IEEE Access 6, 2018, doi:10.1109/ACCESS.2017.2779939.",
    run=run,
    measures=(Measure("test accuracy", "higher", "share"), Measure("training loss", "lower")),
    settings=tuple(map(_setting, PAPER)),
    trials=5,
    quick=Quick(
        3, "5 trials to 3, 2,000 epochs to 250 (GunPoint: 500), five sets to 2", ("GunPoint", "ItalyPowerDemand")
    ),
    curves={
        "training loss by epoch": Axes("epoch", "training loss", logarithmic="y"),
        "test accuracy by epoch": Axes("epoch", "test accuracy"),
    },
    needs=tuple(FILE.format(name, part) for name in PAPER for part in ("TRAIN", "TEST")),
)
