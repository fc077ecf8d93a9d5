"""Reads the patients' records of the PhysioNet challenge of 2012: 48 hours in intensive care, measured irregularly.

Legend: R records, S steps of all records, V variables.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError

DESCRIPTORS = ("Age", "Gender", "Height", "ICUType")  # said once, at admission
UNKNOWN = -1.0


class Records(NamedTuple):
    """Records, one step per time at which anything was measured, one record after the other."""

    starts: Tensor  # (R + 1,) where each begins, and where the last ends
    hours: Tensor  # (S,) since admission
    values: Tensor  # (S, V), NaN where nothing was measured
    descriptors: Tensor  # (R, 4), NaN where unknown
    died: Tensor  # (R,) bool, in hospital
    variables: tuple[str, ...]


@lru_cache(maxsize=1)
def read(archive: Path, outcomes: Path) -> Records:
    """All records of the archive, in the order of their numbers.

    Raises:
        JobError: a record has no outcome, or a file is not of this form.
    """
    died = _outcomes(outcomes)
    rows = sorted(_files(archive))
    if missing := [number for number, _ in rows if number not in died]:
        raise JobError(f"{outcomes}: there is no outcome of record {missing[0]}, which {archive.name} holds.")
    variables = tuple(sorted({name for _, found in rows for _, name, _ in found} - {*DESCRIPTORS, "RecordID"}))
    records = [_record(found, variables) for _, found in rows]
    lengths = torch.tensor([0] + [len(hours) for hours, _, _ in records])
    hours, values, descriptors = zip(*records, strict=True)
    outcome = torch.tensor([died[number] for number, _ in rows])
    return Records(lengths.cumsum(0), torch.cat(hours), torch.cat(values), torch.stack(descriptors), outcome, variables)


def _outcomes(path: Path) -> dict[int, bool]:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return {int(row["RecordID"]): row["In-hospital_death"] == "1" for row in csv.DictReader(file)}
        except (KeyError, ValueError):
            raise JobError(f"{path}: expected a table with RecordID and In-hospital_death.") from None


def _files(archive: Path) -> Iterator[tuple[int, list[tuple[float, str, float]]]]:
    """The number of each record, and what it holds: hours, name, value. The archive is read once, front to back."""
    with tarfile.open(archive, "r|gz") as files:
        for member in files:
            file = files.extractfile(member) if member.name.endswith(".txt") else None
            if file is not None:
                yield int(Path(member.name).stem), _measurements(member.name, file.read().decode())


def _measurements(name: str, text: str) -> list[tuple[float, str, float]]:
    try:
        rows = [line.split(",") for line in text.splitlines()[1:]]
        return [(int(time[:2]) + int(time[3:]) / 60, what, float(value)) for time, what, value in rows if what]
    except ValueError as error:
        raise JobError(f"{name}: {error}; expected lines of Time,Parameter,Value.") from None


def _record(found: list[tuple[float, str, float]], variables: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Hours (T,), values (T, V), descriptors (4,). Where one time has two values of a variable, the later line counts.

    Where nothing was measured there is one step, at admission.
    """
    said = {name: value for _, name, value in found if name in DESCRIPTORS and value != UNKNOWN}
    place = {name: k for k, name in enumerate(variables)}
    measured = [one for one in found if one[1] in place and one[2] != UNKNOWN]
    hours = sorted({hour for hour, _, _ in measured}) or [0.0]
    step = {hour: k for k, hour in enumerate(hours)}
    values = torch.full((len(hours), len(variables)), torch.nan)
    if measured:
        at = torch.tensor([(step[hour], place[name]) for hour, name, _ in measured]).T
        values[at[0], at[1]] = torch.tensor([value for _, _, value in measured])
    return torch.tensor(hours), values, torch.tensor([said.get(name, torch.nan) for name in DESCRIPTORS])
