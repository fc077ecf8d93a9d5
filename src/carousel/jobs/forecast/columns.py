"""What each column of the table is: target, time, id, covariates."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from carousel.jobs import JobError

if TYPE_CHECKING:
    import pandas as pd


class Columns(NamedTuple):
    """The roles of columns; ``known`` values are known for the future too, ``past`` ones are not."""

    target: str
    time: str | None = None
    id: str | None = None
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def named(self) -> list[str]:
        """Every column that has a role."""
        single = [name for name in (self.target, self.time, self.id) if name is not None]
        return [*single, *self.known, *self.past, *self.static]


def names(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Column names from a name, a comma list, or several of either.

    Example:
        >>> names("a, b"), names(["a", "b,c"]), names(None)
        (('a', 'b'), ('a', 'b', 'c'), ())
    """
    if given is None:
        return ()
    parts = [given] if isinstance(given, str) else list(given)
    return tuple(name.strip() for part in parts for name in part.split(",") if name.strip())


def check_columns(frame: pd.DataFrame, columns: Columns) -> None:
    """Raise JobError when a column is missing, given twice in the file, or has two roles."""
    for name in columns.named():
        if name not in frame.columns:
            close = difflib.get_close_matches(name, map(str, frame.columns), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" The file has: {_some(list(frame.columns))}."
            raise JobError(f"column {name!r} is not in the data.{hint}")
        if columns.named().count(name) > 1:
            raise JobError(f"column {name!r} has two roles; give it only one of target, time, id, known, past, static.")
        if list(frame.columns).count(name) > 1:
            raise JobError(f"column {name!r} appears more than once in the data; rename one of them.")


def ignored(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """The columns of the data that have no role."""
    return [str(name) for name in frame.columns if name not in columns.named()]


def find_time(frame: pd.DataFrame, columns: Columns) -> str | None:
    """The one undeclared column of dates, or None if there is none.

    Raises:
        JobError: more than one column holds dates.
    """
    candidates = [name for name in ignored(frame, columns) if _holds_dates(frame[name])]
    if len(candidates) > 1:
        raise JobError(f"several columns hold dates: {_some(candidates)}. Name the one that counts with --time.")
    return candidates[0] if candidates else None


def _holds_dates(column: pd.Series) -> bool:
    import pandas as pd

    from carousel.jobs.forecast.grid import parse_dates

    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        return True
    if column.dtype.kind in "iufbc" or column.isna().all():
        return False
    first = str(column.dropna().iloc[0])
    if len(first) < 6 or not any(letter.isdigit() for letter in first):
        return False
    try:
        parse_dates(column.dropna())
    except JobError:
        return False
    return True


def _some(values: list, most: int = 12) -> str:
    text = ", ".join(map(repr, map(str, values[:most])))
    return text + (f" and {len(values) - most} more" if len(values) > most else "")


def numeric(column: pd.Series, role: str) -> pd.Series:
    """The column as floating-point numbers, missing values as NaN.

    Raises:
        JobError: a value is not a number, or infinite; the first such row is named.
    """
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    bad = (numbers.isna() & column.notna()) | np.isinf(numbers)
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        raise JobError(
            f"{role} column {column.name!r}: row {row + 1} holds {str(column.iloc[row])!r}, expected a finite number "
            "or nothing."
        )
    return numbers


class Encoding(NamedTuple):
    """How covariate columns become numbers: ``categories[name]`` is None for a number, else its values in order."""

    categories: dict[str, list[str] | None]

    @classmethod
    def learn(cls, frame: pd.DataFrame, columns: Columns) -> Encoding:
        """Numbers stay numbers; a column of text becomes one 0/1 feature for each value seen."""
        found = {name: _categories(frame[name]) for name in (*columns.known, *columns.past, *columns.static)}
        return cls(found)

    def features(self, names: tuple[str, ...]) -> list[str]:
        """The names of the features that these columns become."""
        split = [(name, self.categories[name]) for name in names]
        return [feature for name, values in split for feature in ([name] if values is None else _labels(name, values))]

    def apply(self, frame: pd.DataFrame, names: tuple[str, ...], role: str) -> pd.DataFrame:
        """The features (rows, features) of these columns."""
        import pandas as pd

        parts: dict[str, pd.Series] = {}
        for name in names:
            values = self.categories[name]
            if values is None:
                parts[name] = numeric(frame[name], role)
                continue
            text = frame[name].astype("str").where(frame[name].notna())
            for label, value in zip(_labels(name, values), values, strict=True):
                parts[label] = (text == value).astype(float).where(text.notna())
        return pd.DataFrame(parts, index=frame.index)


def _labels(name: str, values: list[str]) -> list[str]:
    return [f"{name}={value}" for value in values]


def _categories(column: pd.Series, most: int = 50) -> list[str] | None:
    if column.dtype.kind in "iufb" or column.isna().all():
        return None
    values = sorted(column.dropna().astype("str").unique())
    if len(values) > most:
        raise JobError(
            f"column {column.name!r} holds {len(values)} different texts, expected numbers or at most {most} of them."
        )
    return values
