"""From a table to series: one array a series on equal steps, its holes marked and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from carousel.jobs import JobError
from carousel.jobs.forecast.columns import Columns, Encoding, check_columns, ignored, numeric
from carousel.jobs.forecast.grid import Grid, infer_grid, off_grid, parse_times

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Series:
    """One series on its grid; NaN marks what is missing.

    ``times`` (N,), ``target`` (N,), ``known`` (N, K), ``past`` (N, P), ``static`` (S,). The history ends with the last
    target: rows from ``length`` on are the future, and hold known covariates only.
    """

    name: str
    times: np.ndarray
    target: np.ndarray
    known: np.ndarray
    past: np.ndarray
    static: np.ndarray
    absent: np.ndarray  # (N,) bool: the file has no row for this time

    @property
    def length(self) -> int:
        """How many steps the history has."""
        return int(np.flatnonzero(~np.isnan(self.target))[-1]) + 1


@dataclass
class Report:
    """What was read, in numbers that the user can check against the file."""

    rows: int
    series: int
    spacing: str
    start: str
    end: str
    ignored: list[str]
    absent_rows: int = 0
    missing_targets: int = 0
    missing_covariates: int = 0
    places: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as a user reads it."""
        many = f"{self.series:,} series, " if self.series > 1 else ""
        text = [f"{self.rows:,} rows, {many}one every {self.spacing}, {self.start} to {self.end}"]
        if self.absent_rows or self.missing_targets:
            text.append(
                f"gaps: {self.absent_rows:,} rows absent, {self.missing_targets:,} targets empty "
                f"({', '.join(self.places)}); they are marked as missing and never scored"
            )
        if self.missing_covariates:
            text.append(f"{self.missing_covariates:,} covariate values empty; each takes the last value before it")
        if self.ignored:
            text.append(f"columns without a role, ignored: {', '.join(self.ignored)}")
        return text


class Table(NamedTuple):
    """A frame as series, with the grid and the encoding that made them."""

    series: list[Series]
    grid: Grid
    encoding: Encoding
    report: Report


def make_series(
    frame: pd.DataFrame, columns: Columns, grid: Grid | None = None, encoding: Encoding | None = None
) -> Table:
    """The frame's series, in the order of first appearance.

    ``grid`` and ``encoding`` are learned from the frame unless a fitted model brings them.

    Raises:
        JobError: columns are missing or hold what cannot be read, times repeat or are not equally spaced.
    """
    check_columns(frame, columns)
    encoding = encoding or Encoding.learn(frame, columns)
    times = np.arange(len(frame)) if columns.time is None else parse_times(frame[columns.time])
    groups = _groups(frame, columns)
    order = {name: _sorted_rows(name, rows, times, columns) for name, rows in groups.items()}
    found = _grid(columns, [times[rows] for rows in order.values()], grid)
    parts = _parts(frame, columns, encoding)
    series = [_one_series(name, rows, times, parts, found, columns) for name, rows in order.items()]
    return Table(series, found, encoding, _report(frame, columns, found, series))


def _groups(frame: pd.DataFrame, columns: Columns) -> dict[str, np.ndarray]:
    if columns.id is None:
        return {"": np.arange(len(frame))}
    if frame[columns.id].isna().any():
        row = int(np.flatnonzero(frame[columns.id].isna().to_numpy())[0])
        raise JobError(f"id column {columns.id!r}: row {row + 1} is empty; every row needs the name of its series.")
    names = frame[columns.id].astype("str").to_numpy()
    unique, inverse = np.unique(names, return_inverse=True)
    groups = {str(name): np.flatnonzero(inverse == number) for number, name in enumerate(unique)}
    return dict(sorted(groups.items(), key=lambda item: int(item[1][0])))


def _sorted_rows(name: str, rows: np.ndarray, times: np.ndarray, columns: Columns) -> np.ndarray:
    rows = rows[np.argsort(times[rows], kind="stable")]
    repeated = np.flatnonzero(times[rows][1:] == times[rows][:-1])
    if len(repeated):
        of = f" of series {name!r}" if name else ""
        hint = "remove the repeats" if columns.id else "name the column that tells the series apart with --id"
        raise JobError(f"time {times[rows][repeated[0]]}{of} appears more than once; {hint}.")
    return rows


def _grid(columns: Columns, times: list[np.ndarray], grid: Grid | None) -> Grid:
    if columns.time is None:
        return Grid("rows")
    if grid is None:
        return infer_grid(times)
    if (times[0].dtype.kind == "M") != grid.dated:
        raise JobError(f"time column {columns.time!r} is not of the kind the model was fitted on (one every {grid}).")
    return grid


class _Parts(NamedTuple):
    target: np.ndarray
    known: np.ndarray
    past: np.ndarray
    static: np.ndarray


def _parts(frame: pd.DataFrame, columns: Columns, encoding: Encoding) -> _Parts:
    return _Parts(
        numeric(frame[columns.target], "target").to_numpy(),
        encoding.apply(frame, columns.known, "known").to_numpy(dtype=float),
        encoding.apply(frame, columns.past, "past").to_numpy(dtype=float),
        encoding.apply(frame, columns.static, "static").to_numpy(dtype=float),
    )


def _one_series(name: str, rows: np.ndarray, times: np.ndarray, parts: _Parts, grid: Grid, columns: Columns) -> Series:
    of = f"series {name!r}" if name else f"column {columns.target!r}"
    seen = np.flatnonzero(~np.isnan(parts.target[rows]))
    if not len(seen):
        raise JobError(f"{of}: every target is missing; there is nothing to learn from.")
    rows = rows[seen[0] :]  # rows before the first target say nothing about it
    start = times[rows[0]] if grid.kind != "rows" else np.int64(0)
    stamps = times[rows] if grid.kind != "rows" else np.arange(len(rows))
    off = off_grid(grid, stamps, start)
    if off is not None:
        raise JobError(f"unequal spacing in time: {of}, {stamps[off]} is not on the grid of one every {grid}.")
    places = np.round(grid.positions(stamps, start)).astype(int)
    if len(np.unique(places)) < len(places):
        raise JobError(f"unequal spacing in time: {of} has two rows within one step of {grid}.")
    count = int(places[-1]) + 1

    def spread(values: np.ndarray) -> np.ndarray:
        full = np.full((count, *values.shape[1:]), np.nan)
        full[places] = values[rows]
        return full

    absent = np.ones(count, bool)
    absent[places] = False
    static = _static(parts.static[rows], of, columns)
    stretched = grid.times(start, count)
    return Series(name, stretched, spread(parts.target), spread(parts.known), spread(parts.past), static, absent)


def _static(values: np.ndarray, of: str, columns: Columns) -> np.ndarray:
    """The one value (S,) of each static feature; empty cells take it."""
    if not values.shape[1]:
        return np.zeros(0)
    known = ~np.isnan(values)
    if not known.any(axis=0).all():
        raise JobError(f"{of}: a static column among {', '.join(columns.static)} has no value.")
    first = values[known.argmax(axis=0), np.arange(values.shape[1])]
    if (known & (values != first)).any():
        raise JobError(
            f"{of}: a static column among {', '.join(columns.static)} changes; use --known or --past for it."
        )
    return first


def _report(frame: pd.DataFrame, columns: Columns, grid: Grid, series: list[Series]) -> Report:
    report = Report(
        rows=len(frame),
        series=len(series),
        spacing=str(grid),
        start=show_time(min(one.times[0] for one in series)),
        end=show_time(max(one.times[one.length - 1] for one in series)),
        ignored=ignored(frame, columns),
    )
    for one in series:
        history = slice(0, one.length)
        empty = np.isnan(one.target[history])
        report.absent_rows += int(one.absent[history].sum())
        report.missing_targets += int((empty & ~one.absent[history]).sum())
        covariates = np.isnan(np.concatenate([one.known[history], one.past[history]], axis=1))
        report.missing_covariates += int(covariates[~one.absent[history]].sum())
        report.places += _places(one, empty)
    if len(report.places) > 4:
        report.places = [*report.places[:4], f"and {len(report.places) - 4} more stretches"]
    return report


def _places(series: Series, empty: np.ndarray) -> list[str]:
    """Each stretch of missing targets as "first to last"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(int), [0]])))
    name = f"{series.name}: " if series.name else ""
    stretches = []
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        begin, end = show_time(series.times[first]), show_time(series.times[after - 1])
        stretches.append(f"{name}{begin}" if begin == end else f"{name}{begin} to {end}")
    return stretches


def show_time(time: Any) -> str:
    """A time as short as it can be said.

    Example:
        >>> show_time(np.datetime64("2001-12-29T00:00", "us")), show_time(np.datetime64("2001-12-29T13:00", "us"))
        ('2001-12-29', '2001-12-29 13:00')
        >>> show_time(np.int64(41))
        '41'
    """
    if not isinstance(time, np.datetime64):
        return f"{time:g}" if isinstance(time, np.floating) else str(int(time))
    day, clock = str(time.astype("datetime64[s]")).split("T")
    if clock == "00:00:00":
        return day
    return f"{day} {clock[:5]}" if clock.endswith(":00") else f"{day} {clock}"
