"""Telling two kinds of noisy sequence by their first elements.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, experiment 3,
doi:10.1162/neco.1997.9.8.1735; the task is that of Bengio, Simard & Frasconi (1994).

A sequence has T to T + T/10 numbers. The first N are 1 (first kind) or -1 (second), all others are Gaussian noise of
variance 0.2 (3b: noise is added to the first N, too). The target at the end is 1 or 0; in 3c it is 0.2 or 0.8 with
Gaussian noise of variance 0.1 added, and the net must find the clean one.
3a stops at ST1, when none of 256 test sequences is off by 0.2 or more (3b: fewer than 6), and later at ST2, when the
mean absolute error on them is below 0.01 (3b: 0.04), too. 3c stops when none is off by more than 0.1 from the clean
target and the mean difference is below 0.015. A test on 2,560 fresh sequences follows.

Where the paper leaves it open: lengths are drawn uniformly; a trial's 256 test sequences are drawn once, and tested
after every 100 sequences learned, so the sequences of a trial are a multiple of 100; the targets of 3c are 0.8 for the
first kind and 0.2 for the second. The paper says itself that random guessing solves 3a faster; 3c it does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carousel.reproduce.experiment import Experiment, Figure, Measure, Quick, Setting
from carousel.reproduce.online.lanes import SETS, Draw, Lanes, stream
from carousel.reproduce.online.sequences import Sequences
from carousel.reproduce.online.stopping import TESTED
from carousel.reproduce.papers.hochreiter_1997 import CITATION, SEQUENCES, SOLVED
from carousel.reproduce.papers.lstm_1997_nets import memory_net
from carousel.reproduce.papers.lstm_1997_today import as_today, unrolled
from carousel.reproduce.work import Trial, Work

INPUT_NOISE, TARGET_NOISE = 0.2, 0.1  # variances
SET, CHUNK = 256, 100


def two_kinds(
    steps: int, informative: int, *, noisy: bool = False, low: float = 0.0, target_noise: float = 0.0
) -> Draw:
    """Sequences of at least ``steps`` numbers, the first ``informative`` of which tell; targets are 1 - low and low."""

    def draw(random: np.random.Generator, count: int) -> Sequences:
        lengths = random.integers(steps, steps + steps // 10, endpoint=True, size=count)
        numbers = random.normal(0.0, INPUT_NOISE**0.5, lengths.sum())
        kind = random.integers(2, size=count)
        at = (np.cumsum(lengths) - lengths)[:, None] + np.arange(informative)
        numbers[at] = (2.0 * kind - 1)[:, None] + (numbers[at] if noisy else 0.0)
        targets = low + (1 - 2 * low) * kind
        if target_noise:
            targets = targets + random.normal(0.0, target_noise**0.5, count)
        return Sequences(numbers[:, None], targets[:, None], lengths)

    return draw


def run(
    work: Work,
    *,
    rate: float,
    tolerance: float,
    stops: list[list[float]],
    limit: int,
    today: Any = None,
    **task: Any,
) -> list[Trial]:
    """Three blocks of one cell, 102 weights.

    Args:
        stops: for each moment ST1, ST2 that is noted: fewer than how many of the test set are wrong, and the mean
            error that they are below; the last one ends the trial.
    """
    net = unrolled(today, rate=rate, inputs=1, outputs=1) or memory_net(
        work.seeds,
        inputs=1,
        outputs=1,
        blocks=3,
        rate=rate,
        reach=0.1,
        biased="ioc",
        output_bias=False,
        starts={"b_i": [-1.0, -3.0, -5.0], "b_o": [-2.0, -4.0, -6.0]},
    )
    lanes = Lanes(work, net, two_kinds(**task), chunk=CHUNK, limit=limit)
    clean = two_kinds(**{**task, "target_noise": 0.0})
    sets = [clean(stream(seed, SETS), SET) for seed in work.seeds]
    lanes.resume()
    for _ in lanes.learn():
        for n, one in enumerate(lanes.predict([one if n in lanes.active else None for n, one in enumerate(sets)])):
            if one:
                _note(lanes, n, one[0].errors(one[1]), tolerance, stops, clean)
    return lanes.trials


def _note(lanes: Lanes, n: int, errors: np.ndarray, tolerance: float, stops: list[list[float]], clean: Draw) -> None:
    """Note the moments that trial n has come to; at the last, test it against targets without noise and end it."""
    wrong, mean = (errors >= tolerance).sum(), errors.mean()
    for number, (fewer, below) in enumerate(stops, 1):
        name = f"ST{number}"
        if name not in lanes.trials[n]:
            if not (wrong < fewer and mean < below):
                return
            lanes.trials[n][name] = lanes.seen + CHUNK
    errors = lanes.test([n], TESTED, draw=clean)[n]
    lanes.finish(n, sequences=lanes.seen + CHUNK, wrong=float((errors >= tolerance).mean()), error=float(errors.mean()))


def _setting(
    name: str,
    steps: int,
    informative: int,
    figures: dict[str, float],
    limit: int,
    explanation: str = "",
    **options: Any,
) -> Setting:
    return Setting(
        name,
        f"T = {steps:,}, N = {informative}",
        {**A, "steps": steps, "informative": informative, "limit": limit, **options},
        paper={measure: Figure(value) for measure, value in figures.items()},
        explanation=explanation,
    )


EARLY = (
    "Ours stop after about half of the paper's sequences, where the criterion permits 5 of 256 wrong ones, 2.0 %, and "
    "are wrong on 1.6 % (N = 3) and 2.5 % (N = 1) of fresh ones: they learn no longer than the criterion asks. With "
    "N = 1 the noise gives 1.3 % of sequences the sign of the other kind."
)

SOON = (
    "Nine of ten nets: from the first criterion, 256 right ones, to the second, a mean error below 0.01 besides, they "
    "take 800 to 3,700 sequences, 2,500 on average, where the paper's take 5,600; learning less, they are wrong in 0 "
    "to 6 of 2,560 fresh ones, 2.9 on average, the paper's in 0.2. The tenth met the first criterion after 363,600 "
    "and had not met the second after 1,000,000."
)


A: dict[str, Any] = {"rate": 1.0, "tolerance": 0.2, "stops": [[1, 9.0], [1, 0.01]]}
B: dict[str, Any] = {"noisy": True, "stops": [[6, 9.0], [6, 0.04]]}
C: dict[str, Any] = {
    "rate": 0.1,
    "tolerance": 0.1,
    "stops": [[1, 0.015]],
    "low": 0.2,
    "target_noise": TARGET_NOISE,
}


def _stops(first: float, second: float, wrong: float) -> dict[str, float]:
    return {"ST1": first, "sequences": second, "wrong": wrong}


PUBLISHED = [
    _setting("3a-T100-N3", 100, 3, _stops(27_380, 39_850, 0.000195), 1_000_000),
    _setting("3a-T100-N1", 100, 1, _stops(58_370, 64_330, 0.000117), 1_000_000),
    _setting("3b-T100-N3", 100, 3, _stops(41_740, 43_250, 0.00828), 1_000_000, EARLY, **B),
    _setting("3b-T100-N1", 100, 1, _stops(74_950, 78_430, 0.01500), 1_000_000, EARLY, **B),
    _setting("3c-T100-N3", 100, 3, {"sequences": 269_650, "wrong": 0.00558, "error": 0.014}, 3_000_000, **C),
    _setting("3c-T100-N1", 100, 1, {"sequences": 565_640, "wrong": 0.00441, "error": 0.012}, 3_000_000, **C),
    _setting("3a-T1000-N3", 1_000, 3, _stops(446_850, 452_460, 0.000078), 1_000_000, SOON),
]

two_sequence = Experiment(
    "two_sequence",
    "Telling two kinds of noisy sequence (experiment 3)",
    CITATION,
    run,
    [
        SEQUENCES,
        SOLVED,
        Measure("ST1", "lower"),
        Measure("wrong", "lower", "share"),
        Measure("error", "lower"),
    ],
    [*PUBLISHED, *(now for one in PUBLISHED for now in as_today(one, longest=one.options["steps"] * 11 // 10))],
    trials=10,
    quick=Quick(
        4,
        "3a with T = 100 and N = 3 alone, four trials",
        ("3a-T100-N3", "3a-T100-N3-lstm-adam", "3a-T100-N3-lstm_1997-adam"),
    ),
    together=None,
)
