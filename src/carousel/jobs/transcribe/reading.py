"""What there is to transcribe: recordings or line images in a folder or a table, with their transcripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from carousel.jobs import JobError
from carousel.jobs.tables import CSV, PARQUET, as_pandas, read_table

RECORDINGS = (".wav", ".flac", ".ogg")
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SPLITS = ("training", "validation", "test")
COLUMNS = ("path", "text", "speaker", "split")


class Item(NamedTuple):
    """One recording or line image; ``text`` is None where there is no transcript."""

    path: Path
    text: str | None = None
    speaker: str | None = None
    split: str | None = None


def find(data: Any) -> list[Item]:
    """The items of a folder, of a table (a file, or a frame with paths), or a single recording or image.

    Raises:
        JobError: nothing is there, or it is neither.
    """
    if not isinstance(data, str | Path):
        return _from_frame(data, Path())
    path = Path(data)
    if path.is_dir():
        return _from_folder(path)
    if path.suffix.lower() in RECORDINGS + IMAGES:
        if not path.exists():
            raise JobError(f"{path}: no such file.")
        return [_with_sidecar(path)]
    if not path.exists() and not path.suffix:
        raise JobError(f"{path}: no such folder.")
    if not {ending.lower() for ending in path.suffixes} & {*CSV, *PARQUET}:
        known = ", ".join((*RECORDINGS, *IMAGES))
        raise JobError(f"{path}: expected a folder, a table (.csv, .tsv, .parquet) or one of {known}.")
    return _from_frame(read_table(path, as_text=True), path.parent)


def kind(items: Iterable[Item]) -> str:
    """ "recordings" or "images". Raises JobError where both are there."""
    endings = {item.path.suffix.lower(): item.path for item in items}
    sounds = [path for ending, path in endings.items() if ending in RECORDINGS]
    images = [path for ending, path in endings.items() if ending in IMAGES]
    if sounds and images:
        raise JobError(f"recordings ({sounds[0]}) and images ({images[0]}) are mixed; give one kind.")
    return "recordings" if sounds else "images"


def _from_folder(folder: Path) -> list[Item]:
    known = RECORDINGS + IMAGES
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file())
    if not paths:
        raise JobError(f"{folder}: holds no recordings and no images ({', '.join(known)}).")
    return [_with_sidecar(path) for path in paths]


def sidecars(path: Path) -> Iterator[Path]:
    """Where the transcript of a recording or image may stand.

    Example:
        >>> [str(one) for one in sidecars(Path("a/01.bin.png"))]
        ['a/01.bin.gt.txt', 'a/01.bin.txt', 'a/01.gt.txt', 'a/01.txt']
    """
    stem = path
    while stem.suffix:
        stem = stem.with_suffix("")
        yield from (stem.with_name(stem.name + ending) for ending in (".gt.txt", ".txt"))


def _with_sidecar(path: Path) -> Item:
    found = [one for one in sidecars(path) if one.is_file()]
    return Item(path, _read_transcript(found[0]) if found else None)


def _read_transcript(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: not readable as UTF-8 text ({error}).") from None
    if "\n" in text:
        raise JobError(f"{path}: holds {text.count(chr(10)) + 1} lines, expected the one line that is spoken or shown.")
    return clean(text)


def clean(text: str) -> str:
    """A transcript in composed Unicode (NFC), with single spaces and none at its ends.

    Example:
        >>> clean("  two\\t words ")
        'two words'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def _from_frame(frame: Any, folder: Path) -> list[Item]:
    """Rows of a table; relative paths are meant from the table's folder."""
    table = as_pandas(frame)
    if "path" not in table.columns:
        raise JobError(f"the table has no column 'path'; it has: {', '.join(map(str, table.columns))}.")
    columns = {name: _texts(table[name]) for name in COLUMNS if name in table.columns}
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [_from_row(row, number, folder) for number, row in enumerate(rows, 1)]


def _texts(column: Any) -> list[str | None]:
    return [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


def _from_row(row: dict[str, str | None], number: int, folder: Path) -> Item:
    if not row["path"]:
        raise JobError(f"row {number}: the column path is empty, expected a file.")
    path, split = folder / row["path"], row.get("split") or None
    if path.suffix.lower() not in RECORDINGS + IMAGES:
        raise JobError(f"row {number}: {path} is none of {', '.join(RECORDINGS + IMAGES)}.")
    if split is not None and split not in SPLITS:
        raise JobError(f"row {number}: split is {split!r}, expected one of {', '.join(SPLITS)}.")
    text = row.get("text")
    return Item(path, None if text is None else clean(text), row.get("speaker") or None, split)
