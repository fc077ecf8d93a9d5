"""Equal steps in time: what the spacing is, and where every row stands on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from carousel.jobs import JobError

if TYPE_CHECKING:
    import pandas as pd

SECOND = 1_000_000  # times are whole microseconds
DAY = 86_400 * SECOND
UNITS = {"day": DAY, "hour": 3_600 * SECOND, "minute": 60 * SECOND, "second": SECOND}


class Grid(NamedTuple):
    """A step in time.

    ``kind`` is "span" (a fixed span, ``step`` in microseconds), "months" (``step`` calendar months, on the same day or,
    with ``last_day``, on the last day of the month), "workdays" (Monday to Friday), "numbers" (a numeric time column)
    or "rows" (no time column: the order of the rows is all there is).
    """

    kind: str
    step: float = 1
    last_day: bool = False

    def __str__(self) -> str:
        if self.kind == "span":
            name, unit = next((n, u) for n, u in (*UNITS.items(), ("microsecond", 1)) if self.step % u == 0)
            return _count(int(self.step // unit), name)
        if self.kind == "months":
            return _count(int(self.step), "month")
        return {"workdays": "1 working day", "rows": "1 row", "numbers": f"{self.step:g}"}[self.kind]

    @property
    def dated(self) -> bool:
        """Whether the steps stand in the calendar."""
        return self.kind in ("span", "months", "workdays")

    def positions(self, times: np.ndarray, start: Any) -> np.ndarray:
        """How many steps each time lies after ``start``: (N,) floats, whole where the time is on the grid."""
        if self.kind in ("span", "numbers"):
            return (times - start).astype(float) / self.step
        if self.kind == "months":
            return (_months(times) - _months(np.array([start]))).astype(float) / self.step
        if self.kind == "workdays":
            return np.busday_count(_day(start), times.astype("datetime64[D]")).astype(float)
        return (times - start).astype(float)

    def times(self, start: Any, count: int) -> np.ndarray:
        """The ``count`` times from ``start`` on."""
        steps = np.arange(count)
        if self.kind == "span":
            return start + (steps * int(self.step)).astype("timedelta64[us]")
        if self.kind == "months":
            return self._month_times(start, steps)
        if self.kind == "workdays":
            return (np.busday_offset(_day(start), steps) + _clock(start)).astype("datetime64[us]")
        return start + steps * (self.step if self.kind == "numbers" else 1)

    def _month_times(self, start: Any, steps: np.ndarray) -> np.ndarray:
        month = start.astype("datetime64[M]") + steps * int(self.step)
        first, after = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
        offset = _day(start) - start.astype("datetime64[M]").astype("datetime64[D]")
        day = after - 1 if self.last_day else np.minimum(first + offset, after - 1)
        return (day + _clock(start)).astype("datetime64[us]")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _months(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[M]").astype(np.int64)


def _day(time: Any) -> np.datetime64:
    return np.datetime64(time, "D")


def _clock(time: Any) -> Any:
    return np.datetime64(time, "us") - _day(time)


def parse_times(column: pd.Series) -> np.ndarray:
    """A time column as microsecond dates or as numbers: (N,).

    Raises:
        JobError: a time is missing or cannot be read; the first such row is named.
    """
    if column.isna().any():
        row = int(np.flatnonzero(column.isna().to_numpy())[0])
        raise JobError(f"time column {column.name!r}: row {row + 1} is empty; every row needs its time.")
    if column.dtype.kind in "iuf":
        return _dates_from_digits(column)
    return parse_dates(column)


def _dates_from_digits(column: pd.Series) -> np.ndarray:
    """Numbers are times as they stand, except eight digits that read as year, month and day."""
    numbers = column.to_numpy()
    if column.dtype.kind in "iu" and ((numbers > 1600_00_00) & (numbers < 2300_00_00)).all():
        return parse_dates(column.astype("str"))
    if not np.isfinite(numbers).all():
        raise JobError(f"time column {column.name!r} holds an infinite number.")
    return numbers.astype(float)


def parse_dates(column: pd.Series) -> np.ndarray:
    """Dates as (N,) datetime64[us]; with time zones, in UTC.

    Raises:
        JobError: a value is not a date; the first such row is named.
    """
    for day_first in (False, True):
        dates = _try_dates(column, day_first)
        if dates is not None:
            naive = dates.dt.tz_convert(None) if dates.dt.tz is not None else dates
            return naive.to_numpy().astype("datetime64[us]")
    row = _first_bad_date(column)
    raise JobError(
        f"time column {column.name!r}: row {row + 1} holds {column.iloc[row]!r}, which cannot be read as a date like "
        f"{column.iloc[0] if row else '2024-01-31 13:00:00'!s}."
    )


def _try_dates(column: pd.Series, day_first: bool) -> pd.Series | None:
    import warnings

    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says which of day and month it took first; we try both
        try:
            dates = pd.to_datetime(column, dayfirst=day_first, utc=_zoned(column))
        except (ValueError, TypeError, OverflowError):
            return None
    return dates if dates.dtype.kind == "M" else None


def _zoned(column: pd.Series) -> bool:
    import re

    return bool(re.search(r"(Z|[+-]\d\d:?\d\d)$", str(column.iloc[0]))) and ":" in str(column.iloc[0])


def _first_bad_date(column: pd.Series) -> int:
    import warnings

    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns when it reads each date on its own, which is meant here
        bad = pd.to_datetime(column, errors="coerce", utc=True).isna().to_numpy()
    return int(np.flatnonzero(bad)[0]) if bad.any() else 0


def infer_grid(times: list[np.ndarray]) -> Grid:
    """The spacing that all series share, from their sorted times.

    Raises:
        JobError: no equal step explains the times, even with gaps.
    """
    if times[0].dtype.kind != "M":
        return _number_grid(times)
    joined = np.concatenate(times)
    gaps = np.concatenate([np.diff(one) for one in times]).astype(np.int64)
    if not len(gaps):
        raise JobError("every series has a single row: no spacing in time can be seen.")
    step = _most_common(gaps)
    if step >= 28 * DAY:
        return _month_grid(times, joined)
    weekdays = (joined.astype("datetime64[D]").astype(np.int64) + 3) % 7
    if step == DAY and (weekdays < 5).all() and len(joined) > 10:
        return Grid("workdays")
    return _checked(Grid("span", step), times, gaps)


def _number_grid(times: list[np.ndarray]) -> Grid:
    gaps = np.concatenate([np.diff(one) for one in times])
    if not len(gaps):
        raise JobError("every series has a single row: no spacing in time can be seen.")
    return _checked(Grid("numbers", float(_most_common(np.round(gaps, 9)))), times, gaps)


def _month_grid(times: list[np.ndarray], joined: np.ndarray) -> Grid:
    days = joined.astype("datetime64[D]")
    first = joined.astype("datetime64[M]").astype("datetime64[D]")
    last_day = bool((days + 1 == (joined.astype("datetime64[M]") + 1).astype("datetime64[D]")).all())
    offsets = np.unique(days - first)
    gaps = np.concatenate([np.diff(_months(one)) for one in times])
    # the 29th to the 31st are cut to the month's length in shorter months
    same_day = len(offsets) == 1 or (offsets >= np.timedelta64(27, "D")).all()
    if not last_day and not same_day:
        span = np.concatenate([np.diff(one) for one in times]).astype(np.int64)
        return _checked(Grid("span", _most_common(span)), times, span)
    return _checked(Grid("months", _most_common(gaps), last_day), times, gaps)


def _most_common(gaps: np.ndarray) -> int | float:
    values, counts = np.unique(gaps, return_counts=True)
    return values[np.argmax(counts)].item()


def _checked(grid: Grid, times: list[np.ndarray], gaps: np.ndarray) -> Grid:
    """The grid, if at least half of the gaps are one step and all others are whole steps."""
    if grid.step <= 0 or np.mean(np.isclose(gaps, grid.step)) < 0.5:
        raise JobError(
            f"unequal spacing in time: the most common step ({grid}) explains less than half of the rows. "
            "Bring the data to equal steps first (mean per hour, say)."
        )
    for one in times:
        off = off_grid(grid, one, one[0])
        if off is not None:
            raise JobError(
                f"unequal spacing in time: the step is {grid}, but {one[off]} does not lie a whole number of steps "
                f"after {one[off - 1]}. Bring the data to equal steps first."
            )
    return grid


def off_grid(grid: Grid, times: np.ndarray, start: Any) -> int | None:
    """The first row that does not stand on the grid, or None."""
    positions = grid.positions(times, start)
    off = np.abs(positions - np.round(positions)) > 1e-3
    return int(np.flatnonzero(off)[0]) if off.any() else None
