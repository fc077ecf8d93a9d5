"""Patients' records with gaps: an LSTM whose short-term memory fades with the time that has passed.

Baytas et al., "Patient subtyping via time-aware LSTM networks", KDD 2017, doi:10.1145/3097983.3097997. The paper's own
records are generated ones of diabetics and private or hand-made sets; none of its figures belongs to these data, which
are the 4,000 stays in intensive care of the PhysioNet challenge of 2012, set a: does the patient die in hospital?

One step a time stamp at which anything was measured: 37 values, cut to the 1st and 99th hundredth of the training set,
standardised, 0 where missing, and for each whether it was measured; age, sex, height and the unit at every step. The
time since the step before, in hours, goes into the cell (time-aware), into the input (``lstm_gap``), nowhere
(``lstm``), or for each variable apart (GRU-D of Che et al., 2018, doi:10.1038/s41598-018-24271-9, whose figure on the
same challenge is given as remembered). The last state goes through 64 rectified units to one output, as in the authors'
code.

Five trials are the five folds of one partition, each with as many deaths; an eighth of the rest decides when to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.data.physionet import Records, read
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

FILES = ("physionet2012/set-a.tar.gz", "physionet2012/Outcomes-a.txt")
FOLDS, UNITS = 5, 4
DAY = 24.0


class Split(NamedTuple):
    """Numbers of records."""

    training: Tensor
    validation: Tensor
    test: Tensor


class Batch(NamedTuple):
    """Records side by side, padded."""

    x: Tensor  # (T, B, D)
    seen: Tensor  # (T, B, D) 1 where x was measured
    gap: Tensor  # (T, B, 1) hours since the step before
    since: Tensor  # (T, B, D) hours since the value before was measured
    lengths: Tensor  # (B,)
    died: Tensor  # (B,) 0 or 1


def split(died: Tensor, seed: int) -> Split:
    """Fold ``seed % 5`` of partition ``seed // 5`` to test on; deaths are shared out evenly.

    >>> folds = [split(torch.arange(100) < 20, seed).test for seed in range(5)]
    >>> sorted(torch.cat(folds).tolist()) == list(range(100)), [int((fold < 20).sum()) for fold in folds]
    (True, [4, 4, 4, 4, 4])
    """
    generator = torch.Generator().manual_seed(seed // FOLDS)
    parts: list[list[Tensor]] = [[], [], []]
    for group in (died.nonzero()[:, 0], (~died).nonzero()[:, 0]):
        mixed = group[torch.randperm(len(group), generator=generator)]
        test = torch.arange(len(mixed)) % FOLDS == seed % FOLDS
        rest = mixed[~test]
        count = len(rest) // 8
        for part, one in zip(parts, (rest[count:], rest[:count], mixed[test]), strict=True):
            part.append(one)
    return Split(*(torch.cat(part).sort().values for part in parts))


class Stays:
    """The records as a net reads them, standardised by those to train on."""

    def __init__(self, records: Records, training: Tensor):
        self.starts, self.hours, self.died = records.starts, records.hours, records.died.float()
        self.lengths = records.starts.diff()
        chosen = torch.zeros(len(self.lengths), dtype=torch.bool).index_fill(0, training, True)
        values = _standardised(records.values, chosen.repeat_interleave(self.lengths))
        *numbers, unit = records.descriptors.T
        said = _standardised(torch.stack(numbers, 1), chosen)
        units = F.one_hot(unit.long() - 1, UNITS).float()
        descriptors = torch.cat([said, units], 1).repeat_interleave(self.lengths, 0)
        self.seen = torch.cat([~values.isnan(), ~descriptors.isnan()], 1).float()
        self.x = torch.cat([values, descriptors], 1).nan_to_num(0.0)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """These records."""
        ranges = [slice(int(self.starts[k]), int(self.starts[k + 1])) for k in numbers]
        x, seen, hours = (pad_sequence([one[r] for r in ranges]) for one in (self.x, self.seen, self.hours))
        gap = torch.cat([torch.zeros_like(hours[:1]), hours.diff(dim=0).relu()])[:, :, None]
        died = self.died[torch.as_tensor(numbers)]
        return Batch(x, seen, gap, _since(gap, seen), self.lengths[torch.as_tensor(numbers)], died)


def _standardised(values: Tensor, training: Tensor) -> Tensor:
    """(N, V) with mean 0 and deviation 1 over what was measured in training; NaN stays."""
    bounds = torch.tensor([0.01, 0.99])
    low, high = torch.stack([torch.nanquantile(column, bounds) for column in values[training].T], 1).nan_to_num(0.0)
    values = values.clamp(low, high)
    mean = values[training].nanmean(0).nan_to_num(0.0)
    spread = (values[training] - mean).square().nanmean(0).sqrt().nan_to_num(1.0)
    return (values - mean) / torch.where(spread > 0, spread, 1.0)


def _since(gap: Tensor, seen: Tensor) -> Tensor:
    """How long ago each was measured before: the gap, and what had passed before that if it was not measured then."""
    passed = [torch.zeros_like(seen[0])]
    for t in range(1, len(seen)):
        passed.append(gap[t] + (1 - seen[t - 1]) * passed[-1])
    return torch.stack(passed)


class Net(nn.Module):
    """The log-odds (B,) of a batch of records."""

    def __init__(self, cell: str, time: str, inputs: int, hidden_size: int):
        super().__init__()
        width = {"values": inputs, "cell": 2 * inputs, "input": 2 * inputs + 1, "none": 2 * inputs}[time]
        self.time, self.layer = time, Recurrent(cells.load(cell), width, hidden_size)
        self.output = nn.Sequential(nn.Linear(hidden_size, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))

    def forward(self, batch: Batch) -> Tensor:
        """From the state at each record's end."""
        x, sides = torch.cat([batch.x, batch.seen], 2), {}
        if self.time == "cell":
            sides = {"dt": batch.gap}
        elif self.time == "input":
            x = torch.cat([x, batch.gap.log1p()], 2)
        elif self.time == "values":
            x, sides = batch.x, {"m": batch.seen, "dt": batch.since / DAY}
        _, state = self.layer(x, lengths=batch.lengths, **sides)
        return self.output(state[0][-1])[:, 0]


def loss(net: Net, batch: Batch) -> tuple[Tensor, int]:
    """The cross entropy in nats, summed, and of how many."""
    return F.binary_cross_entropy_with_logits(net(batch), batch.died, reduction="sum"), len(batch.died)


def area(scores: Tensor, positive: Tensor) -> float:
    """The area under the receiver's curve: how often a positive one scores above a negative one, ties as half.

    >>> area(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True]))
    0.75
    """
    from scipy.stats import rankdata

    ranks = torch.from_numpy(rankdata(scores.double().numpy()))
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(positive) - ones)))


def run(work: Work, *, cell: str, time: str, hidden_size: int, epochs: int, patience: int) -> list[Trial]:
    """One fold."""
    from carousel.train import Batches, Buckets, Lesson, Patience

    records = read(*map(work.file, FILES))
    parts = split(records.died, work.seed)
    stays = Stays(records, parts.training)

    def batches(part: Tensor) -> Batches:
        return Batches(part.tolist(), Buckets(stays.lengths[part], 64, work.seed), collate=stays.batch)

    net = Net(cell, time, stays.x.shape[1], hidden_size)
    lesson = Lesson(net, loss, torch.optim.Adam(net.parameters(), lr=1e-3))
    seen = train(work, lesson, batches(parts.training), batches(parts.validation),
                 epochs=epochs, stop=Patience(patience)).history  # fmt: skip
    net.eval()
    with torch.no_grad():
        scores = torch.cat([net(stays.batch(part.tolist())) for part in parts.test.split(100)])
    found = curve(seen, "validation_loss")
    died = records.died[parts.test]
    return [{"test AUC": area(scores, died), "test loss": F.binary_cross_entropy_with_logits(scores, died.float()),
             "epochs": len(found) - 1, "weights": weights(net), "validation loss by update": found}]  # fmt: skip


OPTIONS = {"hidden_size": 64, "epochs": 30, "patience": 5}
QUICK = {"epochs": 4}


def _setting(name: str, title: str, cell: str, time: str, **more: Figure) -> Setting:
    return Setting(name, title, {"cell": cell, "time": time, **OPTIONS}, TODAY, more, quick=QUICK)


time_aware = Experiment(
    name="time_aware",
    title="Death in hospital, from irregular records",
    citation="Cell: Baytas et al., KDD 2017, doi:10.1145/3097983.3097997. Data: PhysioNet challenge 2012, set a.",
    run=run,
    measures=(Measure("test AUC", "higher"), Measure("test loss", "lower")),
    settings=(
        _setting("time_aware_lstm", "the time-aware LSTM", "time_aware_lstm", "cell"),
        _setting("lstm", "LSTM that does not know the time", "lstm", "none"),
        _setting("lstm_gap", "LSTM with the time since the step before as an input", "lstm", "input"),
        _setting("gru_d", "GRU-D", "gru_d", "values",
                 **{"test AUC": Figure(0.842, REMEMBERED, "Che et al., 2018, 5 folds")}),
    ),
    trials=FOLDS,
    quick=Quick(2, "5 folds to 2, and 30 epochs to 4"),
    curves={"validation loss by update": Axes("update (64 records)", "validation loss in nats")},
    needs=FILES,
)  # fmt: skip
