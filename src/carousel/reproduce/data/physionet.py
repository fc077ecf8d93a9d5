"""Stays in intensive care, measured at irregular times: PhysioNet/Computing in Cardiology Challenge 2012.

Silva, Moody, Scott, Celi & Mark, "Predicting in-hospital mortality of ICU patients", Computing in Cardiology 39, 2012.
"""

from __future__ import annotations

import csv
import io
import math
import tarfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError

FILES = ("physionet2012/set-a.tar.gz", "physionet2012/Outcomes-a.txt")


class Stay(NamedTuple):
    """One patient: hours (T,) since admission, and measurements (T, V), NaN where there is none."""

    hours: Tensor
    values: Tensor
    died: int


def read(records: Path, outcomes: Path) -> tuple[list[Stay], list[str]]:
    """The stays by the patients' numbers, and what the V columns measure.

    Raises:
        JobError: the files are of another kind.
    """
    try:
        rows = csv.DictReader(outcomes.read_text().splitlines())
        died = {row["RecordID"]: int(row["In-hospital_death"]) for row in rows}
        measured = _records(records)
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError) as error:
        raise JobError(f"{records}: not the records of the 2012 challenge ({error!r}).") from None
    names = sorted({name for events in measured.values() for _, name, _ in events})
    return [_stay(measured[record], names, died[record]) for record in sorted(measured)], names


def _records(path: Path) -> dict[str, list[tuple[float, str, float]]]:
    """Hours, names and values of each record, in time; -1 stands for what is not known, and nothing is below 0."""
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".txt") else None
            if file is not None:
                lines = io.TextIOWrapper(file, "ascii").read().splitlines()[1:]
                events = [_event(line) for line in lines if line.count(",") == 2]
                found[Path(member.name).stem] = [e for e in events if e[2] >= 0 and e[1] not in ("", "RecordID")]
    return found


def _event(line: str) -> tuple[float, str, float]:
    time, name, value = line.split(",")
    hours, minutes = time.split(":")
    return int(hours) + int(minutes) / 60, name, float(value)


def _stay(events: list[tuple[float, str, float]], names: list[str], died: int) -> Stay:
    """A row a time; of several values at one time the last counts."""
    hours = sorted({time for time, _, _ in events})
    rows, columns = {time: k for k, time in enumerate(hours)}, {name: k for k, name in enumerate(names)}
    values = [[math.nan] * len(names) for _ in hours]
    for time, name, value in events:
        values[rows[time]][columns[name]] = value
    return Stay(torch.tensor(hours), torch.tensor(values).reshape(len(hours), len(names)), died)
