"""Before training: where each series is cut, what season it has, how it is scaled, which windows there are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.jobs import JobError
from carousel.jobs.forecast.linear import Linear, fit_linear
from carousel.jobs.forecast.scaling import Columnwise, Scale
from carousel.jobs.forecast.season import cycles, find_season
from carousel.jobs.forecast.series import Series, Table
from carousel.jobs.forecast.windows import Cut, Store, View, observed, windows

LONGEST_CONTEXT = 192


class Prepared(NamedTuple):
    """What training needs: the view, the windows (n, 4), and the linear forecasts fitted on the training part."""

    view: View
    cuts: dict[str, Cut]
    store: Store
    training: Tensor
    validation: Tensor
    straight: Linear  # inside the model
    baseline: Linear  # on the lags alone


def prepare(table: Table, horizon: int, context: int | None = None, season: int | None = None) -> Prepared:
    """Cut, look, scale; with and without a logarithm, keeping what validates better.

    Raises:
        JobError: a series is too short for the horizon.
    """
    cuts = {one.name: _cut(one, horizon) for one in table.series}
    parts = [one.target[: cuts[one.name].training] for one in table.series]
    season = season or find_season(table.grid, parts)
    context = context or choose_context(horizon, season, min(len(part) for part in parts))
    tried = [_look(table, cuts, horizon, context, season, log) for log in (False, True)[: 1 + _positive(parts)]]
    return min(tried, key=lambda one: _validation_error(one, table))


def _cut(series: Series, horizon: int) -> Cut:
    cut, length = Cut.of(series.length), series.length
    of = f"series {series.name!r}" if series.name else "the series"
    longest = min(length - cut.validation, cut.training // 2)
    if length < 10 or longest < horizon:
        raise JobError(
            f"{of} is too short: of its {length} steps {cut.training} train and {length - cut.validation} are held "
            f"out, which is not enough for a horizon of {horizon}. "
            + (
                f"Give more rows, or a horizon of at most {longest}."
                if longest > 0 and length >= 10
                else "Give more rows."
            )
        )
    for name, part in (("first 70 %", slice(0, cut.training)), ("next 10 %", slice(cut.training, cut.validation))):
        if np.isnan(series.target[part]).all():
            raise JobError(f"{of}: every target in its {name} is missing, so there is nothing to train on.")
    return cut


def choose_context(horizon: int, season: int, training: int) -> int:
    """Steps of history: two seasons or the horizon, at least 24, within what the training part can spare."""
    wanted = 2 * season if 2 * season <= LONGEST_CONTEXT else season + 24
    wanted = wanted if wanted <= LONGEST_CONTEXT else LONGEST_CONTEXT // 2
    return max(2, min(max(wanted, min(horizon, LONGEST_CONTEXT), 24), (training - horizon) // 2))


def _positive(parts: list[np.ndarray]) -> bool:
    """Whether a logarithm makes sense: all values above zero."""
    return all(np.nanmin(part) > 0 for part in parts)


def _look(table: Table, cuts: dict[str, Cut], horizon: int, context: int, season: int, log: bool) -> Prepared:
    training = [cuts[one.name].training for one in table.series]
    pairs = list(zip(table.series, training, strict=True))
    view = View(
        horizon=horizon,
        context=context,
        season=season,
        cycles=cycles(table.grid, max((one.times[:end] for one, end in pairs), key=len)),
        scales={one.name: Scale.learn(one.target[:end], log) for one, end in pairs},
        known=Columnwise.learn([one.known[:end] for one, end in pairs]),
        past=Columnwise.learn([one.past[:end] for one, end in pairs]),
        static=Columnwise.learn([one.static for one in table.series]),
    )
    store = Store(table.series, view, table.grid)
    train, check = split_windows(store, [cuts[one.name] for one in table.series])
    straight, baseline = (fit_linear(store, train, check, everything) for everything in (True, False))
    return Prepared(view, cuts, store, train, check, straight, baseline)


def split_windows(store: Store, cuts: list[Cut]) -> tuple[Tensor, Tensor]:
    """The training and the validation windows of all series, each (n, 4)."""
    train = [windows(store, number, 0, cut.training) for number, cut in enumerate(cuts)]
    check = [windows(store, number, cut.training, cut.validation) for number, cut in enumerate(cuts)]
    return observed(store, torch.cat(train)), observed(store, torch.cat(check))


def _validation_error(prepared: Prepared, table: Table) -> float:
    """The linear forecast's mean absolute error on the validation part, in units of each series' deviation."""
    store, total, count = prepared.store, 0.0, 0.0
    for found in prepared.validation.split(2048):
        batch = store.batch(found)
        forecast = prepared.straight(batch)
        for number in found[:, 0].unique().tolist():
            rows = found[:, 0] == number
            one = table.series[number]
            undo = prepared.view.scales[one.name].undo
            unit = np.nanstd(one.target[: prepared.cuts[one.name].training]) or 1.0
            base = batch.base[rows, None]
            error = undo((forecast[rows] + base).double().numpy()) - undo((batch.target[rows] + base).double().numpy())
            total += float((np.abs(error) / unit * batch.weight[rows].numpy()).sum())
            count += float(batch.weight[rows].sum())
    return total / max(count, 1.0)
