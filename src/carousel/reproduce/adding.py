"""Adding two marked numbers of a long sequence, and multiplying them.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, experiments 4 and 5,
doi:10.1162/neco.1997.9.8.1735.

A sequence has T to T + T/10 pairs of a number and a marker. One of the first ten pairs is marked by 1, and one of the
first T/2 - 1 others; the first and the last pair have the marker -1, all others 0. The target at the end is
0.5 + (X1 + X2) / 4 of the two marked numbers, from -1 to 1, or X1 X2, from 0 to 1.

Where the paper leaves it open: the first pair keeps its marker -1 when it is drawn as a marked one, and then adds 0
(multiplies by 1), as the paper says of X1 itself; lengths are drawn uniformly; the average training error is the mean
absolute error of the 2,000 most recent sequences; sequences are counted to the moment when training stops, those
2,000 included. The squared error is the mean over 2,560 fresh sequences.
"""

from __future__ import annotations

import math

import numpy as np

from carousel.reproduce.criteria import MostRecent
from carousel.reproduce.experiment import Experiment, Figure, Measure, Quick, Setting
from carousel.reproduce.lanes import Draw, Lanes
from carousel.reproduce.lstm_1997_nets import memory_net
from carousel.reproduce.sequences import Sequences
from carousel.reproduce.stopping import until_most_recent
from carousel.reproduce.work import Trial, Work

TOLERANCE, RECENT = 0.04, 2_000


def marked_pairs(steps: int, *, multiply: bool = False) -> Draw:
    """Sequences of the task, at least ``steps`` pairs long."""
    least, neutral = (0.0, 1.0) if multiply else (-1.0, 0.0)

    def draw(random: np.random.Generator, count: int) -> Sequences:
        lengths = random.integers(steps, steps + steps // 10, endpoint=True, size=count)
        pairs = np.zeros((lengths.sum(), 2))
        pairs[:, 0] = random.uniform(least, 1.0, len(pairs))
        starts = np.cumsum(lengths) - lengths
        first = random.integers(10, size=count)
        second = random.integers(steps // 2 - 1, size=count)
        second += second >= first
        for place in (first, second):
            pairs[starts + place, 1] = 1.0
        pairs[starts, 1] = pairs[starts + lengths - 1, 1] = -1.0
        x1, x2 = (np.where(place == 0, neutral, pairs[starts + place, 0]) for place in (first, second))
        targets = x1 * x2 if multiply else 0.5 + (x1 + x2) / 4
        return Sequences(pairs, targets[:, None], lengths)

    return draw


def run(work: Work, *, steps: int, multiply: bool = False, rate: float, wrong: int, limit: int) -> list[Trial]:
    """Two blocks of two cells, 93 weights."""
    net = memory_net(
        work.seeds,
        inputs=2,
        outputs=1,
        blocks=2,
        cells=2,
        rate=rate,
        reach=0.1,
        biased="ioc",
        output_bias=True,
        starts={"b_i": [-3.0, -6.0]},
    )
    lanes = Lanes(work, net, marked_pairs(steps, multiply=multiply), chunk=max(20_000 // steps, 10), limit=limit)
    mean = math.inf if multiply else 0.01
    criterion = MostRecent(len(work.seeds), RECENT, TOLERANCE, wrong=wrong, mean=mean)
    return until_most_recent(lanes, criterion)
