"""Forecasts to JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carousel.jobs.forecast.series import show_time

if TYPE_CHECKING:
    import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values, times as text."""
    columns = {name: _plain(frame[name]) for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    if column.dtype.kind == "M":
        return [show_time(time) for time in column.to_numpy()]
    return column.tolist()
