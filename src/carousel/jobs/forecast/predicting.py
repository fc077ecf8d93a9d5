"""Forecasts of what comes after a table, and scores on a table, by a fitted model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from carousel.jobs import JobError
from carousel.jobs.forecast.evaluation import Evaluation, evaluate, model_quantiles
from carousel.jobs.forecast.fitted import Fitted
from carousel.jobs.forecast.series import Report, Series, Table, make_series, show_time
from carousel.jobs.forecast.windows import Store, shortest_context


def predict(fitted: Fitted, frame: pd.DataFrame) -> tuple[pd.DataFrame, Report]:
    """The horizon after each series' last target, as a frame; and what was read."""
    table = _read(fitted, frame)
    store = Store(table.series, fitted.view, table.grid)
    for one in table.series:
        _check_future(fitted, one, table)
    ends = (store.start + store.length - 1).tolist()
    found = torch.tensor([[number, end, end + 1, end + 1] for number, end in enumerate(ends)])
    quantiles = model_quantiles(fitted.network, store, found)
    parts = [
        _rows(fitted, one, table, fitted.view.scales[one.name].undo(z))
        for one, z in zip(table.series, quantiles, strict=True)
    ]
    return pd.concat(parts, ignore_index=True), table.report


def evaluate_frame(fitted: Fitted, frame: pd.DataFrame) -> tuple[Evaluation, Report]:
    """Scores on the rows of the frame that the model never saw; and what was read."""
    table = _read(fitted, frame)
    store = Store(table.series, fitted.view, table.grid)
    held = [fitted.divisions[one.name].held(one, table.grid) for one in table.series]
    return evaluate(fitted.judge, table.series, store, held), table.report


def _read(fitted: Fitted, frame: pd.DataFrame) -> Table:
    table = make_series(frame, fitted.columns, fitted.grid, fitted.encoding)
    fitted.known_series(table.series)
    for one in table.series:
        if one.length < shortest_context(fitted.view):
            of = f"series {one.name!r}" if one.name else "the data"
            raise JobError(
                f"{of}: too short, {one.length} steps of history; the model needs at least "
                f"{shortest_context(fitted.view)} and reads up to {fitted.view.context}."
            )
    return table


def _check_future(fitted: Fitted, one: Series, table: Table) -> None:
    """Raise JobError unless the known covariates of the whole horizon are there."""
    if not fitted.columns.known:
        return
    horizon, count = fitted.view.horizon, one.length + fitted.view.horizon
    ahead = one.known[one.length : count]
    missing = np.isnan(ahead).any(axis=1)
    if len(ahead) == horizon and not missing.any():
        return
    first = int(missing.argmax()) if missing.any() else len(ahead)
    when = table.grid.times(one.times[0], count)[one.length + first]
    of = f"series {one.name!r}: " if one.name else ""
    raise JobError(
        f"{of}known columns ({', '.join(fitted.columns.known)}) are missing for {show_time(when)}; "
        f"add a row with an empty target for each of the {horizon} steps after "
        f"{show_time(one.times[one.length - 1])}."
    )


def _rows(fitted: Fitted, one: Series, table: Table, quantiles: np.ndarray) -> pd.DataFrame:
    """One series' forecasts (H, Q) as rows."""
    levels = fitted.network.quantiles
    times = table.grid.times(one.times[0], one.length + fitted.view.horizon)[one.length :]
    result: dict[str, object] = {}
    if fitted.columns.id is not None:
        result[fitted.columns.id] = [one.name] * len(times)
    result[fitted.columns.time or "row"] = times
    result["forecast"] = quantiles[:, levels.index(0.5)]
    for number, level in enumerate(levels):
        if level != 0.5:
            result[f"q{level:g}"] = quantiles[:, number]
    return pd.DataFrame(result)
