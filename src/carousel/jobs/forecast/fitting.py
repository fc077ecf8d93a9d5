"""Fitting from a table to a model folder, telling what is done."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from carousel.jobs import JobError
from carousel.jobs import folder as files
from carousel.jobs.equations import cell_sizes, find_cell, spec_of
from carousel.jobs.forecast import tell
from carousel.jobs.forecast.baselines import Yardstick
from carousel.jobs.forecast.columns import Columns
from carousel.jobs.forecast.evaluation import Evaluation, evaluate
from carousel.jobs.forecast.fitted import JOB, PLOT, Division, Fitted, describe, network_sizes, save
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.plotting import plot_held_out
from carousel.jobs.forecast.prepare import Prepared, prepare
from carousel.jobs.forecast.series import Report, Table, make_series
from carousel.jobs.forecast.windows import WindowSet
from carousel.jobs.resuming import same_training
from carousel.jobs.running import main_process, seeded

MOST_VALIDATION_WINDOWS = 20_000


def fit(
    frame: pd.DataFrame,
    columns: Columns,
    settings: dict[str, Any],
    folder: Path | None,
    overwrite: bool,
    resume: bool,
    console: Console | None,
) -> tuple[dict[str, Any], Fitted, Evaluation, Report]:
    """All of it; returns the contents of ``model.json``, the model, its scores and what was read."""
    console = console if main_process() else None
    if folder is not None and main_process():
        files.check_free(folder, JOB, overwrite, resume)
    cell = find_cell(settings["cell"])
    table = make_series(frame, columns)
    prepared = prepare(table, settings["horizon"], settings["context"], settings["season"])
    tell.data(console, table, columns, prepared)
    with seeded(settings["seed"]):
        fitted = _untrained(cell, table, columns, settings, prepared)
        tell.model(console, fitted, settings)
        told = {**settings, "cell": spec_of(settings["cell"])}
        data = {**table.report.__dict__, "fingerprint": _fingerprint(table)}
        if folder is not None and main_process():
            files.claim(folder, JOB, overwrite, resume)
            model = describe(told, fitted, data, "training")
            same_training(folder, JOB, model) if resume else files.write_json(folder / files.MODEL, model)
        fitted = _train(fitted, prepared, settings, folder, resume, console)
    held = [fitted.divisions[one.name].held(one, table.grid) for one in table.series]
    evaluation = evaluate(fitted.judge, table.series, prepared.store, held)
    model = describe(told, fitted, data, "finished")
    if folder is not None and main_process():
        save(folder, model, fitted, evaluation)
        plot_held_out(folder / PLOT, fitted, table.series, prepared.store, held)
    return model, fitted, evaluation, table.report


def _untrained(cell: Any, table: Table, columns: Columns, settings: dict[str, Any], prepared: Prepared) -> Fitted:
    view, store = prepared.view, prepared.store
    sizes = network_sizes(settings, view, store.before_size, store.ahead_size)
    extra = cell_sizes(cell, settings["hidden_size"], settings["sizes"])
    try:
        network = Network(cell, linear=prepared.straight, cell_sizes=extra, **sizes)
    except (ValueError, TypeError) as error:
        raise JobError(f"cell {cell.name} cannot be built: {error}") from None
    parts = {one.name: one.target[: prepared.cuts[one.name].training] for one in table.series}
    return Fitted(
        network,
        view,
        table.grid,
        table.encoding,
        columns,
        {one.name: Division.of(one, prepared.cuts[one.name]) for one in table.series},
        {name: Yardstick.fit(part, view.season, view.scales[name]) for name, part in parts.items()},
        prepared.baseline,
        {},
        f"carousel ({cell.name})",
    )


def _train(
    fitted: Fitted,
    prepared: Prepared,
    settings: dict[str, Any],
    folder: Path | None,
    resume: bool,
    console: Console | None,
) -> Fitted:
    from carousel.jobs.forecast.training import train

    keep = torch.linspace(0, len(prepared.validation) - 1, min(len(prepared.validation), MOST_VALIDATION_WINDOWS))
    names = ("epochs", "patience", "batch_size", "learning_rate", "seed", "strategy", "devices")
    happened = train(
        fitted.network,
        WindowSet(prepared.store, prepared.training),
        WindowSet(prepared.store, prepared.validation[keep.long()]),
        folder=folder,
        resume=resume,
        console=console,
        **{name: settings[name] for name in names},
    )
    tell.training(console, happened)
    return fitted._replace(training=happened)


def _fingerprint(table: Table) -> str:
    """A hash of every number that training reads."""
    total = hashlib.sha256()
    for one in table.series:
        for array in (one.times, one.target, one.known, one.past, one.static):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]
