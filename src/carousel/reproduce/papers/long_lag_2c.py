"""Very long time lags among distractors, without regularities to lean on.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, experiment 2c,
doi:10.1162/neco.1997.9.8.1735.

There are p distractors and the symbols e, b, x, y. A sequence is b, then x or y, then q distractors, then one more at a
time with probability 9/10, then e; the target after e, the only one, is the x or y from its beginning. A sequence is
right when both outputs are off by less than 0.2; a net has learned when 10,000 successive ones are.

Where the paper leaves it open: that last x or y is a target only, not shown to the net. It does not say whether those
10,000 count; here `sequences` leaves them out, as its 5,040 of experiment 2a must, and `sequences with the run` has
them in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carousel.reproduce.experiment import Experiment, Figure, Measure, Quick, Setting
from carousel.reproduce.online.criteria import MostRecent
from carousel.reproduce.online.lanes import Draw, Lanes
from carousel.reproduce.online.sequences import Sequences
from carousel.reproduce.online.stopping import until_most_recent
from carousel.reproduce.papers.hochreiter_1997 import CITATION, SEQUENCES, SOLVED
from carousel.reproduce.papers.lstm_1997_nets import memory_net
from carousel.reproduce.papers.lstm_1997_today import as_today, unrolled
from carousel.reproduce.work import Trial, Work

RUN, TOLERANCE = 10_000, 0.2


def distracted(lag: int, distractors: int) -> Draw:
    """Sequences with at least ``lag`` distractors; symbols are numbered: x, y, b, e, distractors."""

    def draw(random: np.random.Generator, count: int) -> Sequences:
        lengths = lag + 3 + random.geometric(0.1, size=count) - 1
        inputs = random.integers(4, 4 + distractors, size=lengths.sum())
        ends = np.cumsum(lengths) - 1
        starts = ends - lengths + 1
        kind = random.integers(2, size=count)
        inputs[starts], inputs[starts + 1], inputs[ends] = 2, kind, 3
        return Sequences(inputs, kind, lengths)

    return draw


def run(work: Work, *, lag: int, distractors: int, rate: float, limit: int, today: Any = None) -> list[Trial]:
    """Two blocks of one cell, no bias anywhere: 6 (p + 10) + 4 weights."""
    sizes: dict[str, Any] = {"inputs": distractors + 4, "outputs": 2}
    net = unrolled(today, rate=rate, **sizes, symbols=True, classes=True) or memory_net(
        work.seeds,
        **sizes,
        blocks=2,
        rate=rate,
        reach=0.2,
        biased="",
        output_bias=False,
    )
    lanes = Lanes(work, net, distracted(lag, distractors), chunk=max(20_000 // lag, 20), limit=limit)
    trials = until_most_recent(lanes, MostRecent(len(work.seeds), RUN, TOLERANCE))
    for trial in trials:
        if trial["solved"]:
            trial["sequences with the run"] = trial["sequences"]
            trial["sequences"] -= RUN
    return trials


LATE = (
    "What takes long is that not one of 10,000 successive sequences may fail. With q = p = 50, of eight nets six "
    "were right on 97 to 99.7 % of their sequences after 30,000, the paper's figure, and on 99.1 % and more after "
    "50,000; two had not begun to learn. Such nets make the mean, and of the twenty two had not begun after a "
    "million. Outputs without squashing: six of eight had their 10,000 after 56,000 on average. Activations that "
    "start at 1/2: no difference."
)


def _setting(lag: int, distractors: int, sequences: float) -> Setting:
    return Setting(
        f"q{lag}-p{distractors}",
        f"q = {lag:,}, p = {distractors:,}",
        {"lag": lag, "distractors": distractors, "rate": 0.01, "limit": 1_000_000},
        paper={"sequences": Figure(sequences), "solved": Figure(1.0)},
        explanation=LATE,
    )


PUBLISHED = [
    _setting(50, 50, 30_000),
    _setting(100, 100, 31_000),
    _setting(200, 200, 33_000),
    _setting(500, 500, 38_000),
    _setting(1_000, 1_000, 49_000),
    _setting(1_000, 500, 49_000),
    _setting(1_000, 200, 75_000),
    _setting(1_000, 100, 135_000),
    _setting(1_000, 50, 203_000),
]

long_lag_2c = Experiment(
    "long_lag_2c",
    "Very long lags among distractors (experiment 2c)",
    CITATION,
    run,
    [SEQUENCES, SOLVED, Measure("sequences with the run", "lower"), Measure("wrong", "lower", "count")],
    [*PUBLISHED, *(now for one in PUBLISHED for now in as_today(one, longest=one.options["lag"] + 10))],
    trials=20,
    quick=Quick(8, "q = 50, p = 50 alone, eight trials", ("q50-p50", "q50-p50-lstm-adam", "q50-p50-lstm_1997-adam")),
    together=None,
)
