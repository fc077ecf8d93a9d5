"""Windows: what the model sees at an origin (the last steps before it) and what it is asked for (the next H).

Shapes: B windows, L steps of context, H steps ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.jobs.forecast.scaling import Columnwise, Scale, carry_forward
from carousel.jobs.forecast.season import calendar
from carousel.jobs.forecast.series import Grid, Series


class View(NamedTuple):
    """How a fitted model looks at series: what ``model.json`` keeps so that another day sees the same numbers."""

    horizon: int
    context: int
    season: int
    cycles: tuple[str, ...]
    scales: dict[str, Scale]  # by series
    known: Columnwise
    past: Columnwise
    static: Columnwise


class Batch(NamedTuple):
    """B windows. Targets are relative to ``base``, the last value at the origin."""

    before: Tensor  # (B, L, E) what happened, row after row from each window's first step; then padding
    lengths: Tensor  # (B,) steps of context
    lags: Tensor  # (B, L) the same targets, ending at the origin, a short context filled with its first value
    base: Tensor  # (B,)
    latest: Tensor  # (B, P) past covariates at the origin
    ahead: Tensor  # (B, H, F) what is known of the future
    seasonal: Tensor  # (B, H) the value one season before, relative to base
    target: Tensor  # (B, H) relative to base; 0 where missing
    weight: Tensor  # (B, H) 1 where the target counts, else 0


class Store:
    """All series as flat arrays, each followed by ``horizon`` steps of its future."""

    def __init__(self, series: list[Series], view: View, grid: Grid):
        self.view = view
        tracks = [_Track(one, view, grid) for one in series]
        ends = np.cumsum([len(track.z) for track in tracks])
        self.start = torch.tensor(np.concatenate([[0], ends[:-1]]))  # (series,)
        self.length = torch.tensor([one.length for one in series])  # (series,)
        self.z = _join([track.z for track in tracks])  # (N,)
        self.seen = _join([track.seen for track in tracks])  # (N,)
        self.filled = _join([track.filled for track in tracks])  # (N,)
        self.latest = _join([track.past for track in tracks])  # (N, P)
        self.before = _join([track.before for track in tracks])  # (N, E - 2 - S)
        self.ahead = _join([track.ahead for track in tracks])  # (N, F)
        static = view.static.apply(np.stack([one.static for one in series]))
        self.static = torch.tensor(static, dtype=torch.float32)  # (series, S)

    @property
    def before_size(self) -> int:
        """E, the features of a step of the past."""
        return 2 + self.before.shape[1] + self.static.shape[1]

    @property
    def ahead_size(self) -> int:
        """F, the features of a step of the future."""
        return self.ahead.shape[1] + self.static.shape[1]

    def batch(self, windows: Tensor) -> Batch:
        """The windows (B, 4): series, origin, and the range [low, high) of targets that count, all as flat indices."""
        number, origin, low, high = windows.unbind(1)
        start, end = self.start[number], self.start[number] + self.length[number]
        lengths = (origin - start + 1).clamp(max=self.view.context)
        base = self.filled[origin]
        future = origin[:, None] + 1 + torch.arange(self.view.horizon)  # (B, H)
        inside = (future < end[:, None]).float()
        here = future.clamp(max=len(self.z) - 1)
        counts = inside * self.seen[here] * ((future >= low[:, None]) & (future < high[:, None]))
        static = self.static[number]
        return Batch(
            self._before(origin, lengths, base, static),
            lengths,
            self._lags(origin, start) - base[:, None],
            base,
            self.latest[origin],
            torch.cat([self.ahead[here], static[:, None].expand(-1, self.view.horizon, -1)], dim=2),
            self._seasonal(origin, start) - base[:, None],
            torch.where(counts > 0, self.filled[here] - base[:, None], 0.0),
            counts,
        )

    def _before(self, origin: Tensor, lengths: Tensor, base: Tensor, static: Tensor) -> Tensor:
        step = torch.arange(self.view.context)
        rows = (origin - lengths + 1)[:, None] + torch.minimum(step, lengths[:, None] - 1)  # (B, L)
        value = (self.filled[rows] - base[:, None])[..., None]
        around = static[:, None].expand(-1, self.view.context, -1)
        return torch.cat([value, self.seen[rows][..., None], self.before[rows], around], dim=2)

    def _lags(self, origin: Tensor, start: Tensor) -> Tensor:
        rows = origin[:, None] + torch.arange(1 - self.view.context, 1)
        return self.filled[torch.maximum(rows, start[:, None])]

    def _seasonal(self, origin: Tensor, start: Tensor) -> Tensor:
        """The last value at the origin's past that stands a whole number of seasons before each step ahead."""
        season = self.view.season
        back = torch.arange(1, self.view.horizon + 1) - season * (
            (torch.arange(1, self.view.horizon + 1) + season - 1) // season
        )
        rows = origin[:, None] + back
        rows = torch.where(rows < start[:, None], origin[:, None], rows)  # younger than a season: the last value
        return self.filled[rows]


class _Track:
    """One series with its future, as the flat arrays need it."""

    def __init__(self, series: Series, view: View, grid: Grid):
        n, count = series.length, series.length + view.horizon
        times = grid.times(series.times[0], count)
        scaled = view.scales[series.name].apply(series.target[:n])
        self.seen = np.concatenate([~np.isnan(scaled), np.zeros(view.horizon)])
        self.z = np.concatenate([scaled, np.full(view.horizon, np.nan)])
        self.filled = carry_forward(self.z)
        known = carry_forward(_stretch(view.known.apply(series.known), count))
        self.past = _stretch(carry_forward(view.past.apply(series.past[:n])), count)
        waves = calendar(grid, times, view.cycles)
        self.ahead = np.concatenate([known, waves], axis=1)
        self.before = np.concatenate([self.past, self.ahead], axis=1)


def _stretch(values: np.ndarray, count: int) -> np.ndarray:
    """(N, K) cut or continued to ``count`` rows; the last row is repeated."""
    missing = max(0, count - len(values))
    return np.concatenate([values[:count], np.repeat(values[-1:], missing, axis=0)])


def _join(parts: list[np.ndarray]) -> Tensor:
    return torch.tensor(np.concatenate(parts), dtype=torch.float32)


class Cut(NamedTuple):
    """Where a series is divided: rows before ``training`` train, before ``validation`` validate, the rest tests."""

    training: int
    validation: int

    @classmethod
    def of(cls, length: int) -> Cut:
        """70 / 10 / 20.

        Example:
            >>> Cut.of(100)
            Cut(training=70, validation=80)
        """
        return cls(int(length * 0.7), int(length * 0.8))


def shortest_context(view: View) -> int:
    """The fewest steps of history from which a window is made."""
    return max(1, min(view.context // 2, view.season))


def windows(store: Store, number: int, low: int, high: int, whole: bool = False) -> Tensor:
    """Every window (n, 4) of series ``number`` with a target in rows [low, high), and with ``whole``: with all of them.

    Rows are counted from the series' start. Windows without any history are left out.
    """
    horizon, start = store.view.horizon, int(store.start[number])
    first = max(low - 1 if whole else low - horizon, shortest_context(store.view) - 1)
    last = high - 1 - horizon if whole else high - 2
    origin = torch.arange(first, max(first, last + 1)) + start
    return torch.stack(
        [torch.full_like(origin, value) for value in (number,)]
        + [origin, torch.full_like(origin, start + low), torch.full_like(origin, start + high)],
        dim=1,
    )


def observed(store: Store, found: Tensor) -> Tensor:
    """Those of the windows (n, 4) that have a target that counts."""
    if not len(found):
        return found
    keep = [store.batch(part).weight.sum(1) > 0 for part in found.split(4096)]
    return found[torch.cat(keep)]


class WindowSet(torch.utils.data.Dataset):
    """Windows as a data set that hands out whole batches."""

    def __init__(self, store: Store, found: Tensor):
        self.store, self.found = store, found

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> Batch:
        return self.store.batch(self.found[index : index + 1])

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.store.batch(self.found[torch.tensor(indices)])
