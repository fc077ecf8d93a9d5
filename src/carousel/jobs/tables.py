"""Tables: from a file or from the user's hands, as a pandas frame; and to a file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.jobs import JobError

if TYPE_CHECKING:
    import pandas as pd

CSV = (".csv", ".txt", ".tsv")
PARQUET = (".parquet", ".pq")


def read_table(path: str | Path, as_text: bool = False) -> pd.DataFrame:
    """The table in a CSV file (``.csv``, ``.tsv``, ``.txt``, also with ``.gz``) or a Parquet file.

    With ``as_text``, what stands in a CSV file stays as it is written: 007 is no number, and NA is not missing.

    Raises:
        JobError: the file is missing, empty, of another kind, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise JobError(f"{path}: no such file.")
    if path.is_dir():
        raise JobError(f"{path} is a folder, expected a CSV or Parquet file.")
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    ending = endings[-1] if endings else ""
    if ending not in CSV + PARQUET:
        raise JobError(f"{path}: the name ends in {ending or 'nothing'!r}, expected one of {', '.join(CSV + PARQUET)}.")
    frame = _read_csv(path, as_text) if ending in CSV else _read_parquet(path)
    if frame.empty:
        raise JobError(f"{path}: the file holds no rows.")
    return frame


def _read_csv(path: Path, as_text: bool) -> pd.DataFrame:
    import pandas as pd

    try:
        written: dict[str, Any] = {"dtype": str, "keep_default_na": False} if as_text else {}
        return pd.read_csv(path, sep=_separator(path), encoding="utf-8-sig", skipinitialspace=True, **written)
    except pd.errors.EmptyDataError:
        raise JobError(f"{path}: the file is empty.") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8.") from None
    except (pd.errors.ParserError, OSError, EOFError) as error:
        raise JobError(f"{path}: not a readable CSV file: {_first_line(error)}") from None


def _separator(path: Path) -> str:
    """The one of ``, ; tab`` that the header line has most of."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        header = file.readline()
    return max(",;\t", key=lambda mark: header.count(mark.encode()))


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise JobError(f"{path}: not a readable Parquet file: {_first_line(error)}") from None
    return _index_as_column(frame)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def as_pandas(frame: Any) -> pd.DataFrame:
    """A pandas frame from a pandas or Polars frame (anything with ``to_pandas``).

    Raises:
        TypeError: it is neither.

    Example:
        >>> import pandas as pd
        >>> as_pandas(pd.DataFrame({"y": [1.0, 2.0]})).shape
        (2, 1)
    """
    import pandas as pd

    if hasattr(frame, "collect") and not hasattr(frame, "to_pandas"):
        frame = frame.collect()
    if hasattr(frame, "to_pandas"):
        frame = frame.to_pandas()
    if isinstance(frame, pd.Series):
        frame = frame.to_frame()
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame: got {type(frame).__name__}, expected a pandas or Polars data frame.")
    return _index_as_column(frame)


def _index_as_column(frame: pd.DataFrame) -> pd.DataFrame:
    """An index that carries something (dates, names) becomes a column; a plain row number does not."""
    import pandas as pd

    plain = isinstance(frame.index, pd.RangeIndex) or (frame.index.name is None and frame.index.dtype.kind in "iu")
    if plain:
        return frame.reset_index(drop=True)
    name = frame.index.name or ("time" if "time" not in frame.columns else "index")
    return frame.reset_index(names=frame.index.names if frame.index.nlevels > 1 else name)


def like(frame: pd.DataFrame, given: Any) -> Any:
    """The result in the kind of frame that the user gave."""
    if type(given).__module__.partition(".")[0] != "polars":
        return frame
    import polars

    return polars.from_pandas(frame)


def check_output(path: Path, overwrite: bool) -> None:
    """Raise JobError unless a table can be written there."""
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
