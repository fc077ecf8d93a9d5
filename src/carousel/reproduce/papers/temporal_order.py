"""Telling in which order a few symbols came, far apart among distractors.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, experiment 6,
doi:10.1162/neco.1997.9.8.1735.

A sequence of 100 to 110 symbols begins with E, ends with B, and holds an X or a Y at each of two (6a) or three (6b)
places, drawn from 10 to 20 and 50 to 60, or from 10 to 20, 33 to 43 and 66 to 76; all else are distractors a, b, c, d.
The target at the end is one of the four or eight orders, one output each.

Where the paper leaves it open: places count from 0, which is E's; lengths and places are drawn uniformly; the average
training error is the mean absolute error of all outputs over the 2,000 most recent sequences, and sequences are counted
to the moment when training stops, those 2,000 included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carousel.reproduce.experiment import Experiment, Figure, Quick, Setting
from carousel.reproduce.online.criteria import MostRecent
from carousel.reproduce.online.lanes import Draw, Lanes
from carousel.reproduce.online.sequences import Sequences
from carousel.reproduce.online.stopping import until_most_recent
from carousel.reproduce.papers.hochreiter_1997 import CITATION, SEQUENCES, SOLVED, WRONG
from carousel.reproduce.papers.lstm_1997_nets import memory_net
from carousel.reproduce.papers.lstm_1997_today import as_today, unrolled
from carousel.reproduce.work import Trial, Work

E, B, A_TO_D, X, Y = 0, 1, (2, 3, 4, 5), 6, 7
PLACES = {2: (10, 50), 3: (10, 33, 66)}  # each X or Y comes up to ten steps later
TOLERANCE, RECENT = 0.3, 2_000


def ordered(symbols: int) -> Draw:
    """Sequences with that many X or Y."""

    def draw(random: np.random.Generator, count: int) -> Sequences:
        lengths = random.integers(100, 110, endpoint=True, size=count)
        inputs = random.integers(A_TO_D[0], A_TO_D[-1], endpoint=True, size=lengths.sum())
        starts = np.cumsum(lengths) - lengths
        inputs[starts], inputs[starts + lengths - 1] = E, B
        order = np.zeros(count, dtype=np.int64)
        for place in PLACES[symbols]:
            at, is_y = random.integers(place, place + 10, endpoint=True, size=count), random.integers(2, size=count)
            inputs[starts + at] = np.where(is_y, Y, X)
            order = 2 * order + is_y
        return Sequences(inputs, order, lengths)

    return draw


def run(work: Work, *, symbols: int, rate: float, limit: int, today: Any = None) -> list[Trial]:
    """As many blocks of two cells as symbols: 156 or 308 weights."""
    sizes: dict[str, Any] = {"inputs": 8, "outputs": 2**symbols}
    net = unrolled(today, rate=rate, **sizes, symbols=True, classes=True) or memory_net(
        work.seeds,
        **sizes,
        blocks=symbols,
        cells=2,
        rate=rate,
        reach=0.1,
        biased="ioc",
        output_bias=True,
        starts={"b_i": [-2.0, -4.0, -6.0][:symbols]},
    )
    lanes = Lanes(work, net, ordered(symbols), chunk=200, limit=limit)
    return until_most_recent(lanes, MostRecent(len(work.seeds), RECENT, TOLERANCE, mean=0.1))


def _setting(name: str, symbols: int, rate: float, trials: int, sequences: float, wrong: float, limit: int) -> Setting:
    return Setting(
        name,
        f"{symbols} symbols, {2**symbols} orders",
        {"symbols": symbols, "rate": rate, "limit": limit},
        paper={"sequences": Figure(sequences), "wrong": Figure(wrong)},
        trials=trials,
    )


PUBLISHED = [
    _setting("6a", 2, 0.5, 20, 31_390, 1, 500_000),
    _setting("6b", 3, 0.1, 10, 571_100, 2, 3_000_000),
]

temporal_order = Experiment(
    "temporal_order",
    "Telling the order of symbols far apart (experiment 6)",
    CITATION,
    run,
    [SEQUENCES, SOLVED, WRONG],
    [*PUBLISHED, *(now for one in PUBLISHED for now in as_today(one, longest=110))],
    trials=20,
    quick=Quick(8, "6a alone, eight trials", ("6a", "6a-lstm-adam", "6a-lstm_1997-adam")),
    together=None,
)
