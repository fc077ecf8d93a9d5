"""Measured times of cells, as `python -m benchmarks.cells` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Speed(NamedTuple):
    """One measurement: milliseconds of the cell, of our LSTM and of `torch.nn.LSTM`, side by side in one run."""

    shape: tuple[int, int, int, int]
    mode: str
    ms: float
    lstm_ms: float
    torch_ms: float

    @property
    def to_torch(self) -> float:
        """The time over that of `torch.nn.LSTM`: below 1 is faster."""
        return self.ms / self.torch_ms

    @property
    def to_lstm(self) -> float:
        """The time over that of our LSTM."""
        return self.ms / self.lstm_ms


@dataclass(frozen=True)
class Speeds:
    """A run: where and when, and the measurements of each cell."""

    about: str
    cells: Mapping[str, tuple[Speed, ...]]

    def of(self, name: str) -> tuple[Speed, ...]:
        """The measurements of a cell; none where it was not in the run."""
        return self.cells.get(name, ())


NOTHING = Speeds("", {})


def read_speeds(results: Mapping[str, Any]) -> Speeds:
    """A results file of the benchmark of cells, read as JSON.

    >>> row = {"cell": "gru", "shape": [9, 8, 7, 6], "mode": "forward", "ms": 1.0, "lstm_ms": 2.0, "torch_ms": 4.0}
    >>> found = read_speeds({"about": {"cpu": "a CPU", "date": "2026-01-31", "torch": "2.9"}, "rows": [row]})
    >>> found.of("gru")[0].to_torch
    0.25
    """
    about = results["about"]
    cells: dict[str, tuple[Speed, ...]] = {}
    for row in results["rows"]:
        speed = Speed(tuple(row["shape"]), row["mode"], row["ms"], row["lstm_ms"], row["torch_ms"])
        cells[row["cell"]] = (*cells.get(row["cell"], ()), speed)
    threads = about.get("threads")
    on = f", {threads[0]} thread{'s' * (threads[0] > 1)}" if threads else ""
    return Speeds(f"{about['cpu']}{on}, {about['date']}, PyTorch {about['torch']}, float32", cells)
