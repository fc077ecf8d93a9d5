"""Scaling: each series' target to mean 0 and deviation 1, after a logarithm where that forecasts better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Holes take the last value before them (N,) or (N, K); holes at the start take zero.

    Only the past is used, so that a filled value at an origin tells nothing of what follows it.

    Example:
        >>> carry_forward(np.array([1.0, np.nan, 3.0])).tolist()
        [1.0, 1.0, 3.0]
    """
    if not values.size:
        return values
    seen = ~np.isnan(values)
    rows = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, filled, 0.0)


class Scale(NamedTuple):
    """``z = (f(y) - mean) / deviation``, f being the logarithm where ``floor`` is given, else nothing.

    What lies below ``floor`` (half the smallest value of the training part) enters as ``floor``.
    """

    mean: float
    deviation: float
    floor: float | None = None

    @classmethod
    def learn(cls, target: np.ndarray, log: bool = False) -> Scale:
        """From the observed values of a training part (N,).

        Example:
            >>> Scale.learn(np.array([1.0, 3.0, np.nan]))
            Scale(mean=2.0, deviation=1.0, floor=None)
        """
        values = target[~np.isnan(target)]
        floor = float(values.min()) / 2 if log else None
        values = np.log(values) if log else values
        deviation = float(values.std())
        # a constant series keeps its unit; rounding noise is no deviation
        small = deviation <= 1e-9 * max(1.0, float(np.abs(values).max()))
        return cls(float(values.mean()), 1.0 if small else deviation, floor)

    def apply(self, target: np.ndarray) -> np.ndarray:
        """From the user's unit to the model's."""
        if self.floor is not None:
            target = np.log(np.maximum(target, self.floor))
        return (target - self.mean) / self.deviation

    def undo(self, z: np.ndarray) -> np.ndarray:
        """From the model's unit to the user's."""
        values = z * self.deviation + self.mean
        return values if self.floor is None else np.exp(values)


class Columnwise(NamedTuple):
    """The same for covariates: one mean and deviation a feature, shared by all series."""

    mean: list[float]
    deviation: list[float]

    @classmethod
    def learn(cls, parts: list[np.ndarray]) -> Columnwise:
        """From the training parts of all series, each (N, K) or (K,)."""
        values = np.concatenate([np.atleast_2d(part) for part in parts])
        scales = [Scale.learn(column) if (~np.isnan(column)).any() else Scale(0.0, 1.0) for column in values.T]
        return cls([scale.mean for scale in scales], [scale.deviation for scale in scales])

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled, holes kept."""
        return (values - np.array(self.mean)) / np.array(self.deviation)
