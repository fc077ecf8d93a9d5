"""Reads the sets of time series that classifiers are compared on: the ``.ts`` files of the UCR and UEA archives.

Legend: N cases, T time, D variables.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError


class Cases(NamedTuple):
    """Time series and what they are."""

    series: list[Tensor]  # of each case (T, D)
    labels: list[str]


def read(path: Path) -> Cases:
    """The cases of a file, compressed or not: after ``@data`` one a line, its variables and its label between colons.

    Raises:
        JobError: a line cannot be read.
    """
    lines = (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8").read().splitlines()
    begin = next((k for k, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if begin is None:
        raise JobError(f"{path}: no line @data, expected a .ts file of time series.")
    cases = [_case(path, k + 1, line) for k, line in enumerate(lines) if k > begin and line.strip()]
    return Cases([series for series, _ in cases], [label for _, label in cases])


def _case(path: Path, number: int, line: str) -> tuple[Tensor, str]:
    *variables, label = line.strip().split(":")
    try:
        return torch.tensor([[float(value) for value in one.split(",")] for one in variables]).T, label
    except ValueError as error:
        raise JobError(f"{path}, line {number}: {error}.") from None


def padded(series: list[Tensor], length: int) -> Tensor:
    """(N, T, D) with zeros after the end of each.

    >>> padded([torch.ones(1, 2), torch.ones(3, 2)], 3)[:, :, 0]
    tensor([[1., 0., 0.],
            [1., 1., 1.]])
    """
    whole = torch.zeros(len(series), length, series[0].shape[1])
    for row, one in zip(whole, series, strict=True):
        row[: len(one)] = one
    return whole
