"""Fitting from a table to a model folder, telling what is done."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from carousel.jobs import JobError
from carousel.jobs.forecast import folder as files
from carousel.jobs.forecast import tell
from carousel.jobs.forecast.baselines import Yardstick
from carousel.jobs.forecast.columns import Columns
from carousel.jobs.forecast.equations import cell_sizes, find_cell, spec_of
from carousel.jobs.forecast.evaluation import Evaluation, evaluate
from carousel.jobs.forecast.fitted import Division, Fitted, describe, network_sizes, save
from carousel.jobs.forecast.forecaster import main_process
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.plotting import plot_held_out
from carousel.jobs.forecast.prepare import Prepared, prepare
from carousel.jobs.forecast.progress import Progress
from carousel.jobs.forecast.series import Report, Table, make_series
from carousel.jobs.forecast.windows import WindowSet

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
        files.check_free(folder, overwrite, resume)
    cell = find_cell(settings["cell"])
    table = make_series(frame, columns)
    prepared = prepare(table, settings["horizon"], settings["context"], settings["season"])
    tell.data(console, table, columns, prepared)
    with _seeded(settings["seed"]):
        fitted = _untrained(cell, table, columns, settings, prepared)
        tell.model(console, fitted, settings)
        told = {**settings, "cell": spec_of(settings["cell"])}
        data = {**table.report.__dict__, "fingerprint": _fingerprint(table)}
        if folder is not None and main_process():
            files.claim(folder, overwrite, resume)
            model = describe(told, fitted, data, "training")
            _same_training(folder, model) if resume else files.write_json(folder / files.MODEL, model)
        fitted = _train(fitted, prepared, settings, folder, resume, console)
    held = [fitted.divisions[one.name].held(one, table.grid) for one in table.series]
    evaluation = evaluate(fitted.judge, table.series, prepared.store, held)
    model = describe(told, fitted, data, "finished")
    if folder is not None and main_process():
        save(folder, model, fitted, evaluation)
        plot_held_out(folder / files.PLOT, fitted, table.series, prepared.store, held)
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
        progress=Progress(settings["epochs"], console),
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


def _same_training(folder: Path, model: dict[str, Any]) -> None:
    """Raise JobError unless the training in the folder is this one, and unfinished."""
    begun = files.read_model(folder)
    if begun.get("status") == "finished":
        raise JobError(f"{folder}: its training is finished, there is nothing to resume; use --overwrite to fit anew.")
    told = {**begun.get("settings", {}), **begun.get("columns", {})}
    for name, value in {**model["settings"], **model["columns"]}.items():
        before = told.get(name)
        if before != (list(value) if isinstance(value, tuple) else value):
            raise JobError(f"{folder}: begun with {name} = {before!r}, now it is {value!r}; resume with the same.")
    if begun.get("cell") != model["cell"]:
        raise JobError(f"{folder}: the equations of the cell have changed since the training was begun.")
    if begun.get("data", {}).get("fingerprint") != model["data"]["fingerprint"]:
        raise JobError(f"{folder}: the data have changed since the training was begun; resume with the same data.")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from the seed within, the caller's own afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
