"""Foretelling death in hospital from the irregular records of 48 hours in intensive care.

Baytas et al., "Patient subtyping via time-aware LSTM networks", KDD 2017, doi:10.1145/3097983.3097997, whose own
records are not public; here its cell stands beside LSTMs on the records of the PhysioNet challenge of 2012. For these,
Che, Purushotham, Cho, Sontag & Liu, Scientific Reports 8, 2018, doi:10.1038/s41598-018-24271-9, have the area under the
ROC curve of 0.842 for GRU-D (as remembered, five-fold, all of both sets).

A step is a time at which anything was measured. All nets read the last value of each variable, scaled, and whether it
was measured now; they differ in what they know of the hours that went by. Of the stays 64 % train, 16 % choose the
epoch, 20 % test, drawn anew in each trial. Adam, 64 units, dropout 0.3 before the output: as one would today.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.data.physionet import FILES, Stay, read
from carousel.reproduce.experiment import (
    REMEMBERED,
    TODAY,
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


class Patient(NamedTuple):
    """What a net may know of a stay."""

    values: Tensor  # (T, V) scaled, the last value where none was measured, 0 before the first
    measured: Tensor  # (T, V) 0 or 1
    gap: Tensor  # (T, 1) hours since the step before
    since: Tensor  # (T, V) hours since the variable was measured last
    died: float


def patient(stay: Stay, mean: Tensor, deviation: Tensor) -> Patient:
    """Scale and carry forward.

    >>> stay = Stay(torch.tensor([0.0, 2.0, 3.0]), torch.tensor([[5.0], [torch.nan], [7.0]]), 0)
    >>> found = patient(stay, torch.tensor([4.0]), torch.tensor([1.0]))
    >>> found.values[:, 0].tolist(), found.gap[:, 0].tolist(), found.since[:, 0].tolist()
    ([1.0, 1.0, 3.0], [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])
    """
    measured = ~stay.values.isnan()
    scaled = ((stay.values - mean) / deviation).clamp(-3, 3).nan_to_num(0.0)
    steps = torch.arange(len(stay.hours))[:, None]
    last = torch.where(measured, steps, -1).cummax(0).values  # the step at which each was measured last
    values = torch.where(last >= 0, scaled.gather(0, last.clamp_min(0)), 0.0)
    gap = stay.hours.diff(prepend=stay.hours[:1])[:, None]
    before = torch.cat([torch.full_like(last[:1], -1), last[:-1]])
    since = stay.hours[:, None] - stay.hours[before.clamp_min(0)]
    return Patient(values, measured.float(), gap, since, float(stay.died))


class Batch(NamedTuple):
    """Stays side by side: (T, B, ...) each, how many steps each has (B,), who died (B,)."""

    values: Tensor
    measured: Tensor
    gap: Tensor
    since: Tensor
    lengths: Tensor
    died: Tensor


def collate(patients: list[Patient]) -> Batch:
    """A batch."""
    return Batch(
        pad_sequence([one.values for one in patients]),
        pad_sequence([one.measured for one in patients]),
        pad_sequence([one.gap for one in patients]),
        pad_sequence([one.since for one in patients]),
        torch.tensor([len(one.gap) for one in patients]),
        torch.tensor([one.died for one in patients]),
    )


class Forecast(nn.Module):
    """From a stay to the score of death, (B,)."""

    def __init__(self, cell: str, gaps_read: bool, variables: int, hidden_size: int, dropout: float):
        super().__init__()
        self.gaps_read, size = gaps_read, 2 * variables + gaps_read
        self.fades = cell == "gru_d"
        self.layer = Recurrent(cells.load(cell), variables if self.fades else size, hidden_size)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(hidden_size, 1)

    def forward(self, batch: Batch) -> Tensor:
        """The score of each stay."""
        if self.fades:
            x, sides = batch.values, {"m": batch.measured, "dt": batch.since}
        else:
            parts = [batch.values, batch.measured] + [batch.gap] * self.gaps_read
            x, sides = torch.cat(parts, -1), {"dt": batch.gap} if "dt" in self.layer.cell.sides else {}
        state = self.layer(x, lengths=batch.lengths, **sides)[1]
        return self.output(self.dropout(state[0][-1]))[:, 0]


def loss(model: Forecast, batch: Batch) -> tuple[Tensor, int]:
    """The cross-entropy, summed, and of how many."""
    return F.binary_cross_entropy_with_logits(model(batch), batch.died, reduction="sum"), len(batch.died)


def area(scores: Tensor, died: Tensor) -> float:
    """Under the ROC curve: how often one who died has a higher score than one who did not, ties by half.

    >>> area(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.875
    """
    dead, living = scores[died > 0], scores[died == 0]
    difference = dead[:, None] - living
    return float(((difference > 0).double() + 0.5 * (difference == 0)).mean())


def split(stays: list[Stay], generator: torch.Generator) -> list[list[Patient]]:
    """Training, validation and test, scaled by what the training part measured."""
    order = torch.randperm(len(stays), generator=generator).tolist()
    cuts = [0, round(0.64 * len(stays)), round(0.8 * len(stays)), len(stays)]
    parts = [[stays[k] for k in order[a:b]] for a, b in zip(cuts, cuts[1:], strict=False)]
    everything = torch.cat([stay.values for stay in parts[0]])
    mean = everything.nanmean(0).nan_to_num(0.0)
    deviation = (everything - mean).square().nanmean(0).sqrt().nan_to_num(1.0).clamp_min(1e-6)
    return [[patient(stay, mean, deviation) for stay in part] for part in parts]


def run(
    work: Work, *, cell: str, gaps_read: bool, hidden_size: int, dropout: float, learning_rate: float,
    batch_size: int, epochs: int, patience: int, most: int | None,
) -> list[Trial]:  # fmt: skip
    """One trial: the area under the test part's ROC curve."""
    from carousel.train import Batches, Buckets, ClipNorm, Lesson, Patience

    stays, names = read(*map(work.file, FILES))
    parts = split([stay for stay in stays if len(stay.hours)][:most], torch.Generator().manual_seed(work.seed))
    model = Forecast(cell, gaps_read, len(names), hidden_size, dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    sources = [Batches(part, Buckets([len(one.gap) for one in part], batch_size, work.seed), collate) for part in parts]
    lesson = Lesson(model, loss, optimizer, clip=ClipNorm(1.0))
    seen = train(work, lesson, *sources[:2], epochs=epochs, stop=Patience(patience)).history
    model.eval()
    with torch.no_grad():
        scores = [(model(batch), batch.died) for batch in sources[2]]
    return [
        {
            "test AUC": area(*(torch.cat(part) for part in zip(*scores, strict=True))),
            "weights": weights(model),
            "validation loss by update": curve(seen[1:], "validation_loss"),
        }
    ]


OPTIONS: dict[str, Any] = {
    "hidden_size": 64, "dropout": 0.3, "learning_rate": 1e-3, "batch_size": 32, "epochs": 30, "patience": 5,
    "most": None,
}  # fmt: skip
QUICK = {"epochs": 8}
GRU_D = {"test AUC": Figure(0.842, REMEMBERED, "GRU-D, five-fold, twice the stays")}

time_aware = Experiment(
    name="time_aware",
    title="Time-aware LSTM on irregular records",
    citation="Baytas et al., 2017, doi:10.1145/3097983.3097997; Che et al., 2018, doi:10.1038/s41598-018-24271-9.",
    run=run,
    measures=(Measure("test AUC", "higher"),),
    settings=(
        Setting("time_aware_lstm", "the memory fades with the hours that went by",
                {"cell": "time_aware_lstm", "gaps_read": False, **OPTIONS}, TODAY, quick=QUICK),
        Setting("lstm", "LSTM that does not know the hours",
                {"cell": "lstm", "gaps_read": False, **OPTIONS}, TODAY, quick=QUICK),
        Setting("lstm_gaps", "LSTM that reads the hours as one more input",
                {"cell": "lstm", "gaps_read": True, **OPTIONS}, TODAY, quick=QUICK),
        Setting("gru_d", "GRU-D: values and state fade, by variable",
                {"cell": "gru_d", "gaps_read": False, **OPTIONS}, TODAY, GRU_D, quick=QUICK),
    ),
    trials=5,
    quick=Quick(2, "5 trials to 2, and 30 epochs to 8"),
    curves={"validation loss by update": Axes("update", "validation loss")},
    needs=FILES,
)  # fmt: skip
