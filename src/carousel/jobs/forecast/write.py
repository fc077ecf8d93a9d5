"""Forecasts to files and to JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.jobs import JobError
from carousel.jobs.forecast.series import show_time
from carousel.jobs.tables import PARQUET

if TYPE_CHECKING:
    import pandas as pd


def check_output(path: Path, overwrite: bool) -> None:
    """Raise JobError unless forecasts can be written there."""
    if path.suffix.lower() not in (".csv", *PARQUET):
        raise JobError(f"{path}: the name ends in {path.suffix or 'nothing'!r}, expected .csv or .parquet.")
    if path.is_dir():
        raise JobError(f"{path} is a folder, expected a file name.")
    if path.exists() and not overwrite:
        raise JobError(f"{path} exists; use --overwrite to replace it, or choose another --output.")
    if not path.parent.is_dir():
        raise JobError(f"{path.parent}: no such folder; make it first, or choose another --output.")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """As CSV or Parquet, by the name's ending."""
    if path.suffix.lower() in PARQUET:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values, times as text."""
    columns = {name: _plain(frame[name]) for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    if column.dtype.kind == "M":
        return [show_time(time) for time in column.to_numpy()]
    return column.tolist()
