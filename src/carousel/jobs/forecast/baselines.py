"""The forecasts to beat: the last value, the value a season ago, a linear regression, exponential smoothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from carousel.jobs.forecast.metrics import seasonal_error
from carousel.jobs.forecast.scaling import Scale, carry_forward
from carousel.jobs.forecast.smoothing import Smoothing

NAMES = ("naive", "seasonal naive", "linear", "exponential smoothing")


class Band(NamedTuple):
    """Forecasts (B, H) with the ends of their interval."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Yardstick(NamedTuple):
    """What the training part of one series says about it: MASE's unit, and the baselines' fitted numbers."""

    unit: float
    step_spread: float  # deviation of changes from one step to the next
    season_spread: float  # ... from one season to the next
    smoothing: Smoothing

    @classmethod
    def fit(cls, training: np.ndarray, season: int, scale: Scale) -> Yardstick:
        """From a training part (N,) in the user's unit; smoothing works on the model's scale."""
        return cls(
            seasonal_error(training, season),
            _spread(training, 1),
            _spread(training, season),
            Smoothing.fit(scale.apply(training), season),
        )

    def plain(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**self._asdict(), "smoothing": self.smoothing._asdict()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Yardstick:
        """Back from the JSON file."""
        return cls(**{**plain, "smoothing": Smoothing(**plain["smoothing"])})


def _spread(values: np.ndarray, lag: int) -> float:
    changes = values[lag:] - values[:-lag]
    changes = changes[~np.isnan(changes)]
    return float(np.sqrt(np.mean(changes**2))) if len(changes) else 0.0


def simple_baselines(
    yardstick: Yardstick, target: np.ndarray, origins: np.ndarray, horizon: int, season: int, level: float
) -> Iterator[tuple[str, Band]]:
    """The two naive forecasts of one series, from the rows ``origins`` (B,); ``level`` is a deviate such as 1.28."""
    filled, ahead = carry_forward(target), np.arange(1, horizon + 1)
    for name, lag, spread in (("naive", 1, yardstick.step_spread), ("seasonal naive", season, yardstick.season_spread)):
        laps = (ahead + lag - 1) // lag
        rows = origins[:, None] + ahead - lag * laps
        middle = filled[np.where(rows < 0, origins[:, None], rows)]
        half = level * spread * np.sqrt(laps)
        yield name, Band(middle, middle - half, middle + half)


def smoothed(
    yardstick: Yardstick, z: np.ndarray, origins: np.ndarray, horizon: int, level: float, offset: int, scale: Scale
) -> Band:
    """Exponential smoothing of one series given on the model's scale (N,), forecasts in the user's unit."""
    middle = yardstick.smoothing.forecast(z, origins, horizon, offset)
    half = level * yardstick.smoothing.deviation(horizon)
    return Band(scale.undo(middle), scale.undo(middle - half), scale.undo(middle + half))
