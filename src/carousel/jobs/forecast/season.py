"""Seasons: how long one is, and where in the calendar a time stands."""

from __future__ import annotations

import numpy as np

from carousel.jobs.forecast.grid import DAY, UNITS, Grid
from carousel.jobs.forecast.scaling import carry_forward

YEAR = 365.2425 * DAY


def candidates(grid: Grid) -> list[int]:
    """The season lengths, in steps, that the calendar suggests for this spacing.

    Example:
        >>> candidates(Grid("months")), candidates(Grid("span", 3600 * 1_000_000))
        ([12], [24, 168])
    """
    if grid.kind == "workdays":
        return [5]
    if grid.kind == "months":
        return [int(12 // grid.step)] if 12 % grid.step == 0 and grid.step < 12 else []
    if grid.kind != "span":
        return []
    spans = [DAY, 7 * DAY] if grid.step < DAY else [7 * DAY, YEAR]
    lengths = [round(span / grid.step) for span in spans]
    return [length for length in lengths if length > 1]


def find_season(grid: Grid, targets: list[np.ndarray], shortest_evidence: float = 0.2) -> int:
    """The season length in steps, 1 if none shows: what repeats best in the differences of the training part.

    Where the calendar suggests nothing (no dates), every lag that is a peak of the autocorrelation is a candidate.
    """
    length = float(np.median([len(target) for target in targets]))
    tried = candidates(grid) if grid.dated else list(range(2, int(min(length // 3, 400)) + 1))
    tried = [season for season in tried if 2.5 * season <= length]
    if not tried:
        return 1
    strength = {season: float(np.mean([_repeats(target, season) for target in targets])) for season in tried}
    best = max(strength, key=lambda season: strength[season])
    if grid.dated:
        # the shorter of two seasons that show about equally: it needs less history
        good = [season for season in tried if strength[season] > max(shortest_evidence, strength[best] - 0.1)]
        return min(good) if good else 1
    return best if strength[best] > 2 * shortest_evidence else 1


def _repeats(target: np.ndarray, season: int) -> float:
    """Correlation of the smoothed changes one season apart."""
    values = carry_forward(target)
    width = max(1, season // 12)
    smooth = np.convolve(values, np.ones(width) / width, mode="valid")
    changes = smooth[width:] - smooth[:-width]
    early, late = changes[:-season], changes[season:]
    if len(early) < 3 or early.std() == 0 or late.std() == 0:
        return 0.0
    return float(np.corrcoef(early, late)[0, 1])


def calendar(grid: Grid, times: np.ndarray, cycles: tuple[str, ...]) -> np.ndarray:
    """Sines and cosines of the time within each cycle: (N, 4 per cycle)."""
    waves = []
    for cycle in cycles:
        phase = 2 * np.pi * _phase(times, cycle)
        waves += [np.sin(phase), np.cos(phase), np.sin(2 * phase), np.cos(2 * phase)]
    return np.stack(waves, axis=1) if waves else np.zeros((len(times), 0))


def cycles(grid: Grid, times: np.ndarray) -> tuple[str, ...]:
    """The cycles of the calendar that the spacing resolves and the training part spans at least twice."""
    if not grid.dated:
        return ()
    span = (times[-1] - times[0]) / np.timedelta64(1, "us")
    step = span / max(1, len(times) - 1)
    spans = {"day": UNITS["day"], "week": 7 * DAY, "year": YEAR}
    return tuple(name for name, length in spans.items() if step * 3 <= length and length * 2 <= span)


def _phase(times: np.ndarray, cycle: str) -> np.ndarray:
    """The fraction of the day, of the week or of the year that has passed: (N,) in [0, 1)."""
    micros = times.astype("datetime64[us]")
    if cycle == "year":
        year = times.astype("datetime64[Y]")
        begin, after = year.astype("datetime64[us]"), (year + 1).astype("datetime64[us]")
        return (micros - begin).astype(float) / (after - begin).astype(float)
    whole = 7 * DAY if cycle == "week" else DAY
    return (micros.astype(np.int64) % whole) / whole
