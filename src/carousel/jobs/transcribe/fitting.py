"""Fitting from recordings or line images to a model folder, telling what is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from carousel.jobs import JobError
from carousel.jobs import folder as files
from carousel.jobs.equations import find_cell, spec_of
from carousel.jobs.resuming import same_training
from carousel.jobs.running import main_process, seeded
from carousel.jobs.transcribe import tell
from carousel.jobs.transcribe.evaluation import Evaluation
from carousel.jobs.transcribe.fitted import JOB, Fitted, describe, make_network, save
from carousel.jobs.transcribe.model import collate, errors, loss
from carousel.jobs.transcribe.prepare import Prepared, prepare
from carousel.jobs.transcribe.samples import Sample, fingerprint
from carousel.jobs.transcribe.writing import score

CLIP = 1.0  # of the gradient's norm
AVERAGING = 0.99


def fit(
    data: Any,
    settings: dict[str, Any],
    folder: Path | None,
    overwrite: bool,
    resume: bool,
    skip_faulty: bool,
    console: Console | None,
) -> tuple[dict[str, Any], Fitted, Evaluation | None, Prepared]:
    """All of it; returns the contents of ``model.json``, the model, its scores and what was read."""
    console = console if main_process() else None
    if folder is not None and main_process():
        files.check_free(folder, JOB, overwrite, resume)
    cell = find_cell(settings["cell"])
    prepared = prepare(data, settings, skip_faulty, console)
    tell.data(console, prepared)
    with seeded(settings["seed"]):
        network = make_network(cell, prepared.inputs, prepared.alphabet, settings)
        fitted = Fitted(network, prepared.inputs, prepared.alphabet, {})
        tell.model(console, fitted, settings)
        told = {**settings, "cell": spec_of(settings["cell"])}
        seen = {name: len(part) for name, part in prepared.parts.items()}
        known = {**seen, "fingerprint": fingerprint(sum(prepared.parts.values(), []))}
        if folder is not None and main_process():
            files.claim(folder, JOB, overwrite, resume)
            model = describe(told, fitted, known, "training")
            same_training(folder, JOB, model) if resume else files.write_json(folder / files.MODEL, model)
        fitted = fitted._replace(training=_train(fitted, prepared, settings, folder, resume, console))
    tell.training(console, fitted.training)
    test = prepared.parts["test"]
    evaluation = score(fitted, test, settings["batch_size"]) if test else None
    model = describe(told, fitted, known, "finished")
    if folder is not None and main_process():
        save(folder, model, fitted, evaluation)
    return model, fitted, evaluation, prepared


def _train(
    fitted: Fitted,
    prepared: Prepared,
    settings: dict[str, Any],
    folder: Path | None,
    resume: bool,
    console: Console | None,
) -> dict[str, Any]:
    """Train the network in place; returns what happened."""
    from carousel import train

    network = fitted.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["learning_rate"], weight_decay=0.01)
    lesson = train.Lesson(network, loss, optimizer, score=errors, clip=train.ClipNorm(CLIP), average=AVERAGING)
    size = settings["batch_size"]
    rows = {name: _rows(fitted, prepared.parts[name]) for name in ("training", "validation")}
    lengths = {name: [len(x) for x, _ in found] for name, found in rows.items()}
    order = train.Buckets(lengths["training"], size, settings["seed"])
    try:
        happened = train.fit(
            lesson,
            train.Batches(rows["training"], order, collate),
            train.Batches(rows["validation"], train.Order(len(rows["validation"]), size), collate),
            epochs=settings["epochs"],
            stop=train.Patience(settings["patience"]),
            folder=None if folder is None else folder / "checkpoints",
            resume=resume,
            progress=train.Progress(console),
            loggers=() if folder is None else train.loggers(folder / "logs"),
            strategy=settings["strategy"],
            devices=settings["devices"],
        )
    except (train.TrainingError, FloatingPointError) as error:
        raise JobError(str(error)) from None
    first, best = happened.history[0], happened.best
    return {
        "epochs": len(happened.history) - 1,
        "best_epoch": happened.history.index(best),
        "validation_label_error_rate": best["validation_label_error_rate"],
        "validation_loss": best["validation_loss"],
        "validation_loss_untrained": first["validation_loss"],
    }


def _rows(fitted: Fitted, samples: list[Sample]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(fitted.inputs.steps(sample.frames), fitted.alphabet.labels(sample.text)) for sample in samples]
