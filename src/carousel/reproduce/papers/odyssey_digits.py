"""The search space odyssey on speech: the vanilla LSTM and eight ablations, each by random search, on spoken digits.

Greff et al., 2017 (see `odyssey`), who classify the frames of TIMIT with bidirectional nets that read 39 features;
TIMIT is not free, so none of the paper's figures belongs here. Ours classify the frames of the free spoken digit
dataset, four speakers, by the digit that is spoken: 20 log-mel energies and how they change, a frame each 10 ms,
standardised. Takes 0 to 4 of each digit and speaker are the test set, 5 to 9 decide when to stop and which sample is
best, the others train.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel import cells
from carousel.jobs.transcribe.sound import LogMel
from carousel.layers import Recurrent
from carousel.reproduce.data.digits import FILE, RATE, Recording, read
from carousel.reproduce.experiment import AS_PUBLISHED, Axes, Experiment, Measure, Quick, Setting, Trial, Work
from carousel.reproduce.papers.odyssey import VARIANTS, nesterov, search, start
from carousel.reproduce.training import train

DIGITS = 10
TEST, VALIDATION = range(5), range(5, 10)


class Spoken(NamedTuple):
    """A recording, or several side by side with zeros after the end."""

    x: Tensor  # (T, D), or (T, B, D)
    digit: Tensor  # (), or (B,)
    lengths: Tensor  # (), or (B,)


class Takes(NamedTuple):
    """Spoken digits, by what they are for."""

    training: list[Spoken]
    validation: list[Spoken]
    test: list[Spoken]


def features(samples: Tensor) -> Tensor:
    """Log-mel energies and their change from frame to frame, (T, 40).

    >>> features(torch.randn(RATE)).shape
    torch.Size([98, 40])
    """
    energies = LogMel(RATE, bands=20)(samples)
    change = torch.gradient(energies, dim=0)[0] if len(energies) > 1 else torch.zeros_like(energies)
    return torch.cat([energies, change], 1)


def takes(recordings: Iterable[Recording]) -> Takes:
    """Split, and standardise by those to train on."""
    parts = Takes([], [], [])
    for one in recordings:
        x = features(one.samples)
        spoken = Spoken(x, torch.tensor(one.digit), torch.tensor(len(x)))
        part = parts.test if one.take in TEST else parts.validation if one.take in VALIDATION else parts.training
        part.append(spoken)
    values = torch.cat([one.x for one in parts.training])
    mean, spread = values.mean(0), values.std(0)
    spread = torch.where(spread > 1e-3, spread, 1.0)  # a band in which nothing ever sounds
    return Takes(*([one._replace(x=(one.x - mean) / spread) for one in part] for part in parts))


def collate(spoken: list[Spoken]) -> Spoken:
    """Side by side."""
    xs, digits, lengths = zip(*spoken, strict=True)
    return Spoken(pad_sequence(list(xs)), torch.stack(digits), torch.stack(lengths))


class Listener(nn.Module):
    """Scores (T, B, 10) of the digits at each frame, heard through noise while it learns."""

    def __init__(self, cell: str, inputs: int, hidden_size: int, noise: float):
        super().__init__()
        self.layer = Recurrent(cells.load(cell), inputs, hidden_size, bidirectional=True)
        self.output, self.noise = nn.Linear(2 * hidden_size, DIGITS), noise

    def forward(self, batch: Spoken) -> Tensor:
        """The scores, before the softmax."""
        x = batch.x + self.noise * torch.randn_like(batch.x) if self.training else batch.x
        return self.output(self.layer(x, lengths=batch.lengths)[0])


def loss(model: Listener, batch: Spoken) -> Tensor:
    """The cross entropy of one recording in nats, all frames together."""
    scores = model(batch)
    return F.cross_entropy(scores[:, 0], batch.digit.expand(len(scores)), reduction="sum")


def wrong(model: Listener, batch: Spoken) -> tuple[Tensor, Tensor]:
    """How many frames are taken for another digit, and of how many."""
    scores = model(batch)
    inside = torch.arange(len(scores))[:, None] < batch.lengths
    return ((scores.argmax(2) != batch.digit) & inside).sum().float(), batch.lengths.sum()


def error(model: Listener, spoken: list[Spoken]) -> float:
    """The share of frames that are taken for another digit."""
    model.eval()
    with torch.no_grad():
        found = [wrong(model, collate(spoken[k : k + 50])) for k in range(0, len(spoken), 50)]
    return sum(float(count) for count, _ in found) / sum(int(frames) for _, frames in found)


def run(work: Work, *, cell: str, samples: int, epochs: int, patience: int, length: int | None) -> list[Trial]:
    """One search; an epoch has `length` of the recordings, or all."""
    from carousel.train import Batches, Lesson, Order, Patience, Shuffle

    data = takes(read(work.file(FILE)))
    training = Batches(data.training, Shuffle(len(data.training), 1, work.seed, length), collate)
    validation = Batches(data.validation, Order(len(data.validation), 50), collate)

    def learn(part: Work, drawn: dict[str, Any]) -> tuple[float, float] | None:
        model = Listener(cell, data.training[0].x.shape[1], drawn["hidden_size"], drawn["noise"])
        start(model)
        lesson = Lesson(model, loss, nesterov(model, drawn), score=wrong)
        try:
            seen = train(part, lesson, training, validation, epochs=epochs, stop=Patience(patience))
        except FloatingPointError:
            return None
        return seen.best["validation_loss"], error(model, data.test)

    return [search(work, "test error", samples, learn, 1 - 1 / DIGITS)]


OPTIONS = {"samples": 200, "epochs": 150, "patience": 15, "length": None}
QUICK = {"samples": 20, "epochs": 3, "length": 400}

odyssey_digits = Experiment(
    name="odyssey_digits",
    title="Search space odyssey on spoken digits",
    citation="Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, 2017, doi:10.1109/TNNLS.2016.2582924; other data.",
    run=run,
    measures=(
        Measure("test error", "lower", "share"),
        Measure("test error, best tenth", "lower", "share"),
        Measure("explained by learning rate", "neither", "share"),
        Measure("explained by hidden size", "neither", "share"),
    ),
    settings=[
        Setting(name, title, {"cell": f"lstm_{name}", **OPTIONS}, AS_PUBLISHED, quick=QUICK)
        for name, title in VARIANTS.items()
    ],
    trials=1,
    quick=Quick(1, "200 samples of each search to 20, and 150 epochs of all 1,600 recordings to 3 of 400"),
    curves={"test error by learning rate": Axes("learning rate", "share of frames wrong", logarithmic="x")},
    needs=(FILE,),
)
