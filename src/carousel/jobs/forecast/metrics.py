"""Scores of forecasts: MAE, RMSE, MASE, coverage. Arrays are (B windows, H steps), weights 1 where a target counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Score(NamedTuple):
    """One row of the table; ``coverage`` is the fraction of targets inside the interval, or None without intervals."""

    mae: float
    rmse: float
    mase: float
    coverage: float | None


def score(
    target: np.ndarray,
    weight: np.ndarray,
    forecast: np.ndarray,
    unit: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray] | None = None,
) -> Score:
    """All scores, averaged over the targets that count.

    ``unit`` (B,) is each window's divisor for MASE, from ``seasonal_error``.

    Example:
        >>> ones = np.ones((1, 2))
        >>> score(np.array([[1.0, 4.0]]), ones, np.array([[2.0, 2.0]]), np.array([2.0]))
        Score(mae=1.5, rmse=1.58..., mase=0.75, coverage=None)
    """
    error = np.where(weight > 0, forecast - target, 0.0)

    def mean(values: np.ndarray) -> float:
        return float((values * weight).sum() / weight.sum())

    inside = None
    if interval is not None:
        low, high = interval
        inside = mean(np.where(weight > 0, (low <= target) & (target <= high), False).astype(float))
    return Score(
        mae=mean(np.abs(error)),
        rmse=mean(error**2) ** 0.5,
        mase=mean(np.abs(error) / unit[:, None]),
        coverage=inside,
    )


def seasonal_error(training: np.ndarray, season: int) -> float:
    """The mean absolute difference between training values one season apart (N,), holes left out: MASE's unit.

    The unit of a series that repeats itself exactly is its mean absolute value, or 1.

    Example:
        >>> seasonal_error(np.array([1.0, 2.0, 4.0, np.nan]), 1)
        1.5
    """
    differences = np.abs(training[season:] - training[:-season])
    differences = differences[~np.isnan(differences)]
    error = float(differences.mean()) if len(differences) else 0.0
    return error or float(np.nanmean(np.abs(training))) or 1.0
