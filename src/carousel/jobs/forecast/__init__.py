"""Forecasting: many steps ahead, of one or many series, with intervals.

The way through: ``read`` (a file) -> ``columns`` (what each column is) -> ``grid`` (equal steps in time) -> ``series``
(arrays with holes marked) -> ``prepare`` (cuts, season, scales, windows) -> ``linear`` and ``model`` -> ``training`` ->
``evaluation`` -> ``fitted`` and ``folder``. ``forecaster`` is the door.
"""

from carousel.jobs.forecast.forecaster import Forecaster

__all__ = ["Forecaster"]
