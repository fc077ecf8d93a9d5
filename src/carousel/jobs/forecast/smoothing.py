"""Exponential smoothing with a trend and additive seasons: fitted by statsmodels, run on here.

Hyndman et al. (2008), Forecasting with Exponential Smoothing, the ETS(A,Ad,A) model:
``y_t = l + phi b + s_{t-m} + e``, ``l' = l + phi b + alpha e``, ``b' = phi b + beta e``, ``s' = s_{t-m} + gamma e``;
with phi = 1, ETS(A,A,A), where Akaike's criterion prefers it.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

LONGEST_SEASON = 400
LONGEST_ESTIMATED = 60  # beyond this, the first season's effects come from statsmodels' heuristic, not from likelihood


class Smoothing(NamedTuple):
    """Fitted parameters; ``season`` holds the first season's effects (m,), one zero without seasons."""

    alpha: float
    beta: float
    gamma: float
    phi: float
    level: float
    trend: float
    season: tuple[float, ...]
    spread: float

    @classmethod
    def fit(cls, training: np.ndarray, season: int) -> Smoothing:
        """By maximum likelihood on a training part (N,), holes filled along straight lines."""
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        values = _bridged(training)
        seasonal = 1 < season <= LONGEST_SEASON and len(values) >= 2 * season + 10
        if values.std() == 0 or len(values) < 10:
            return cls(1.0, 0.0, 0.0, 0.9, float(values[0]), 0.0, (0.0,), 0.0)
        kind = {"seasonal": "add", "seasonal_periods": season} if seasonal else {}
        method = "estimated" if season <= LONGEST_ESTIMATED else "heuristic"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence; a baseline is taken as it comes
            models = [
                ETSModel(values, trend="add", damped_trend=damped, initialization_method=method, **kind)
                for damped in (True, False)
            ]
            # the parameters alone: fit would spend most of its time on their standard errors
            found = [model.smooth(model.fit(disp=False, maxiter=100, return_params=True)) for model in models]
            fitted = min(found, key=lambda one: one.aic)
        learned = dict(zip(fitted.param_names, map(float, np.asarray(fitted.params)), strict=True))
        effects = [float(value) for value in np.asarray(fitted.initial_state[2:])] if seasonal else [0.0]
        return cls(
            learned["smoothing_level"],
            learned["smoothing_trend"],
            learned.get("smoothing_seasonal", 0.0),
            learned.get("damping_trend", 1.0),
            float(fitted.initial_state[0]),
            float(fitted.initial_state[1]),
            tuple(effects),
            float(np.std(fitted.resid)),
        )

    def forecast(self, values: np.ndarray, origins: np.ndarray, horizon: int, offset: int = 0) -> np.ndarray:
        """Forecasts (B, H) from each origin (B,), having read ``values`` (N,) up to it; NaN updates nothing.

        ``offset`` is how many steps after the training part's first value this one begins.
        """
        level, trend, season = self.level, self.trend, np.array(self.season)
        if offset:
            level = self._level_of(values[: min(max(len(season), 2), int(min(origins)) + 1)], offset)
            trend = trend if self.phi == 1 else 0.0
        damping = np.cumsum(self.phi ** np.arange(1, horizon + 1))
        wanted = {int(origin): row for row, origin in enumerate(origins)}
        result = np.empty((len(origins), horizon))
        for step in range(int(max(origins)) + 1):
            place = (step + offset) % len(season)
            expected = level + self.phi * trend + season[place]
            error = 0.0 if np.isnan(values[step]) else values[step] - expected
            level, trend = level + self.phi * trend + self.alpha * error, self.phi * trend + self.beta * error
            season[place] += self.gamma * error
            if step in wanted:
                later = (step + offset + np.arange(1, horizon + 1)) % len(season)
                result[wanted[step]] = level + damping * trend + season[later]
        return result

    def _level_of(self, values: np.ndarray, offset: int) -> float:
        """The level before the first of these values, where history begins later than the training part did."""
        steps = np.arange(len(values))
        effects = np.array(self.season)[(steps + offset) % len(self.season)]
        slope = self.trend * (self.phi == 1)
        return float(np.nanmean(values - effects - slope * (steps + 1)))

    def deviation(self, horizon: int) -> np.ndarray:
        """The forecast's standard deviation (H,), Hyndman et al., table 6.1."""
        steps = np.arange(1, horizon)
        weight = self.alpha + self.beta * np.cumsum(self.phi**steps)
        weight = weight + self.gamma * (steps % len(self.season) == 0) * (len(self.season) > 1)
        return self.spread * np.sqrt(1 + np.concatenate([[0.0], np.cumsum(weight**2)]))


def _bridged(values: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(~np.isnan(values))
    return np.interp(np.arange(len(values)), seen, values[seen])
