"""The mean over trials with its 95 % interval, and how it stands to the paper's figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from carousel.reproduce.experiment import Figure, Measure

BETTER, INSIDE, WORSE = "better", "inside", "worse"


class Summary(NamedTuple):
    """The values of one measure: their mean, standard deviation, the interval of the mean, and how many of how many."""

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    counted: int
    trials: int


def summarise(measure: Measure, values: Sequence[float | None]) -> Summary | None:
    """The summary over the trials that have the measure, None where none has.

    The interval is Student's of the mean; for a share of trials that are 0 or 1, Wilson's.

    >>> found = summarise(Measure("sequences", "lower"), [1.0, 2.0, 3.0, None])
    >>> found.mean, found.spread, found.counted, found.trials
    (2.0, 1.0, 3, 4)
    >>> round(found.low, 3), round(found.high, 3)
    (-0.484, 4.484)
    >>> solved = summarise(Measure("solved", "higher", "share"), [1] * 10)
    >>> round(solved.low, 3), round(solved.high, 6)
    (0.722, 1.0)
    """
    found = [float(value) for value in values if value is not None]
    n = len(found)
    if not n:
        return None
    mean = math.fsum(found) / n
    if n == 1:
        return Summary(mean, None, None, None, n, len(values))
    if measure.kind == "share" and set(found) <= {0.0, 1.0}:
        return Summary(mean, None, *_wilson(mean, n), n, len(values))
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (n - 1))
    return Summary(mean, spread, *_student(mean, spread, n), n, len(values))


def _student(mean: float, spread: float, n: int) -> tuple[float, float]:
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return mean - half, mean + half


def _wilson(share: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson, "Probable inference", Journal of the American Statistical Association 22, 1927."""
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (centre - half) / scale, (centre + half) / scale


def verdict(measure: Measure, figure: Figure, summary: Summary) -> str:
    """Where the paper's figure lies: inside our interval, outside on the side where ours is better, or worse.

    One trial has no interval: its value takes the interval's place.

    >>> steps = Measure("sequences", "lower")
    >>> [verdict(steps, Figure(paper), Summary(50.0, 9.0, 40.0, 60.0, 10, 10)) for paper in (70, 55, 30)]
    ['better', 'inside', 'worse']
    """
    low = summary.mean if summary.low is None else summary.low
    high = summary.mean if summary.high is None else summary.high
    margin = 1e-12 * max(abs(low), abs(high))
    if low - margin <= figure.value <= high + margin:
        return INSIDE
    above = figure.value > high
    return BETTER if above == (measure.better == "lower") else WORSE
