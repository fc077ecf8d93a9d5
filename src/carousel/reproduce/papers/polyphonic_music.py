"""Foretelling the next chord: Bach's chorales, and piano music.

Bai, Kolter & Koltun, 2018, arXiv:1803.01271, Table 1: LSTM of about 300,000 weights. Chung, Gulcehre, Cho & Bengio,
"Empirical evaluation of gated recurrent neural networks on sequence modeling", 2014, arXiv:1412.3555: LSTM of 36 units,
RMSprop, weight noise; figures and protocol as remembered. The measure is the negative log-likelihood of a step, in
nats, over all 88 keys.

An update is made after each piece, and the weights kept are those of the epoch with the best validation. Learning
rates, clipping and dropout are ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.data.music import KEYS, Music, Pieces, collate, read, surprise
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
from carousel.reproduce.training import curve, train, weights

JSB, PIANO = "polyphonic_music/JSB_Chorales.mat", "polyphonic_music/Piano_midi.mat"
NATS = "nats a step"
MOST = 4  # pieces in a batch when scores are taken


class Composer(nn.Module):
    """From the chords heard to scores of the keys of the next: (T, B, 88) to (T, B, 88)."""

    def __init__(self, cell: str, hidden_size: int, dropout: float = 0.0):
        super().__init__()
        self.layer = Recurrent(cells.load(cell), KEYS, hidden_size)
        self.output = nn.Linear(hidden_size, KEYS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The scores, before the logistic function."""
        return self.output(self.dropout(self.layer(x, lengths=lengths)[0]))


def loss(model: Composer, batch: Pieces) -> tuple[Tensor, Tensor]:
    """What a batch costs, and of how many steps."""
    return surprise(model(batch.x, batch.lengths), batch)


def score(model: Composer, pieces: list[Tensor]) -> float:
    """The negative log-likelihood of a step."""
    model.eval()
    with torch.no_grad():
        found = [loss(model, collate(pieces[k : k + MOST])) for k in range(0, len(pieces), MOST)]
    return sum(float(total) for total, _ in found) / sum(int(steps) for _, steps in found)


def run(
    work: Work, *, file: str, hidden_size: int, dropout: float, optimizer: str, learning_rate: float, batch_size: int,
    epochs: int, patience: int,
) -> list[Trial]:  # fmt: skip
    """One trial: test score of the weights that did best in validation."""
    from carousel.train import Batches, ClipNorm, Lesson, Order, Patience, Shuffle

    music: Music = read(work.file(file))
    model = Composer("lstm", hidden_size, dropout)
    made: Any = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[optimizer]
    lesson = Lesson(model, loss, made(model.parameters(), lr=learning_rate), clip=ClipNorm(1.0))
    training = Batches(music.training, Shuffle(len(music.training), batch_size, work.seed), collate)
    validation = Batches(music.validation, Order(len(music.validation), MOST), collate)
    outcome = train(work, lesson, training, validation, epochs=epochs, stop=Patience(patience))
    return [
        {
            "test NLL": score(model, music.test),
            "validation NLL": outcome.best["validation_loss"],
            "weights": weights(model),
            "validation NLL by update": curve(outcome.history[1:], "validation_loss"),
        }
    ]


BAI = {
    "hidden_size": 220, "dropout": 0.0, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 1, "epochs": 100,
    "patience": 10,
}  # fmt: skip
CHUNG = {**BAI, "hidden_size": 36, "optimizer": "rmsprop", "learning_rate": 2e-3}
DROPOUT = {**BAI, "dropout": 0.5, "learning_rate": 2e-3}
QUICK = {"epochs": 40}


def _experiment(name: str, title: str, file: str, settings: tuple[Setting, ...]) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        citation="Bai, Kolter & Koltun, 2018, arXiv:1803.01271, Table 1; Chung et al., 2014, arXiv:1412.3555.",
        run=run,
        measures=(Measure("test NLL", "lower", unit=NATS), Measure("validation NLL", "lower", unit=NATS)),
        settings=settings,
        trials=5,
        quick=Quick(1, "5 trials to 1, and 100 epochs to 40"),
        curves={"validation NLL by update": Axes("update (a piece)", f"validation NLL, {NATS}")},
        needs=(file,),
    )


def _setting(name: str, title: str, file: str, options: dict[str, Any], kind: str, figure: Figure | None) -> Setting:
    paper = {} if figure is None else {"test NLL": figure}
    return Setting(name, title, {"file": file, **options}, kind, paper, quick=QUICK)


jsb_chorales = _experiment(
    "jsb_chorales", "Bach's chorales, the next chord", JSB,
    (
        _setting("lstm_300k", "Bai et al.: LSTM of 220 units", JSB, BAI, AS_PUBLISHED, Figure(8.45, VERIFIED)),
        _setting("lstm_36", "Chung et al.: LSTM of 36 units", JSB, CHUNG, AS_PUBLISHED, Figure(8.67, REMEMBERED)),
        _setting("lstm_dropout", "220 units, dropout 0.5", JSB, DROPOUT, TODAY, Figure(8.45, VERIFIED)),
    ),
)  # fmt: skip
piano_midi = _experiment(
    "piano_midi", "Piano music, the next chord", PIANO,
    (
        _setting("lstm_36", "Chung et al.: LSTM of 36 units", PIANO, CHUNG, AS_PUBLISHED, Figure(9.03, REMEMBERED)),
        _setting("lstm_dropout", "220 units, dropout 0.5", PIANO, DROPOUT, TODAY, Figure(9.03, REMEMBERED)),
    ),
)  # fmt: skip
