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
from carousel.jobs.transcribe.alignment import align
from carousel.jobs.transcribe.augment import Rows, warp_of
from carousel.jobs.transcribe.decoding import Decoding
from carousel.jobs.transcribe.evaluation import Evaluation
from carousel.jobs.transcribe.fitted import JOB, PLOT, Fitted, describe, make_network, save
from carousel.jobs.transcribe.language import read_texts, train_language_model
from carousel.jobs.transcribe.model import collate, errors, loss
from carousel.jobs.transcribe.prepare import Prepared, prepare
from carousel.jobs.transcribe.samples import Sample, fingerprint
from carousel.jobs.transcribe.writing import score
from carousel.train import Progress

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
    progress: Progress | None,
) -> tuple[dict[str, Any], Fitted, Evaluation | None, Prepared]:
    """All of it; returns the contents of ``model.json``, the model, its scores and what was read."""
    console = console if main_process() else None
    if folder is not None and main_process():
        files.check_free(folder, JOB, overwrite, resume)
    progress = progress or Progress(console)
    cell = find_cell(settings["cell"])
    prepared = prepare(data, settings, skip_faulty, console)
    texts = _texts(settings, prepared)
    tell.data(console, prepared)
    told = {**settings, "cell": spec_of(settings["cell"])}
    known = {**{name: len(part) for name, part in prepared.parts.items()}, "fingerprint": fingerprint(prepared.all)}
    with seeded(settings["seed"]):
        fitted = Fitted(
            make_network(cell, prepared.inputs, prepared.alphabet, settings), prepared.inputs, prepared.alphabet, {}
        )
        tell.model(console, fitted, settings)
        _claim(folder, describe(told, fitted, known, "training"), overwrite, resume)
        fitted = fitted._replace(training=_train(fitted, prepared, settings, folder, resume, progress))
        if texts:
            language, learned = train_language_model(texts, fitted.alphabet, settings["seed"], folder, resume, console)
            fitted = fitted._replace(language=language, training={**fitted.training, "language_model": learned})
    tell.training(console, fitted.training)
    test, size = prepared.parts["test"], settings["batch_size"]
    evaluation = score(fitted, test, size, Decoding()) if test else None
    model = describe(told, fitted, known, "finished")
    if folder is not None and main_process():
        save(folder, model, fitted, evaluation)
        _plot(folder / PLOT, fitted, test or prepared.parts["validation"], size)
    return model, fitted, evaluation, prepared


def _texts(settings: dict[str, Any], prepared: Prepared) -> list[str]:
    """What a language model is to be learned from, if one is."""
    said = [sample.text for sample in prepared.parts["training"]]
    return read_texts(settings["language_model"], said, prepared.alphabet) if settings["language_model"] else []


def _claim(folder: Path | None, model: dict[str, Any], overwrite: bool, resume: bool) -> None:
    """Take the folder for this training, or see that the one begun there is the same."""
    if folder is None or not main_process():
        return
    files.claim(folder, JOB, overwrite, resume)
    if resume:
        same_training(folder, JOB, model)
    else:
        files.write_json(folder / files.MODEL, model)


def _plot(path: Path, fitted: Fitted, samples: list[Sample], batch_size: int) -> None:
    """The alignment of a sample of middle length."""
    from carousel.jobs.transcribe.plot import plot_alignment

    middle = sorted(samples, key=lambda sample: len(sample.frames))[len(samples) // 2]
    (aligned,) = align(fitted, [middle], [middle.text], batch_size)
    plot_alignment(path, aligned)


def _train(
    fitted: Fitted,
    prepared: Prepared,
    settings: dict[str, Any],
    folder: Path | None,
    resume: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Train the network in place; returns what happened."""
    from carousel import train

    network = fitted.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["learning_rate"], weight_decay=0.01)
    lesson = train.Lesson(network, loss, optimizer, score=errors, clip=train.ClipNorm(CLIP), average=AVERAGING)
    size = settings["batch_size"]
    warp = warp_of(fitted.inputs, settings["warp"]) if settings["warp"] else None
    lessons = Rows(prepared.parts["training"], fitted, warp)
    exams = Rows(prepared.parts["validation"], fitted)
    try:
        happened = train.fit(
            lesson,
            train.Batches(lessons, train.Buckets(lessons.lengths, size, settings["seed"]), collate),
            train.Batches(exams, train.Order(len(exams), size), collate),
            epochs=settings["epochs"],
            stop=train.Patience(settings["patience"]),
            folder=None if folder is None else folder / "checkpoints",
            resume=resume,
            progress=progress,
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
        "history": [row["validation_label_error_rate"] for row in happened.history],
    }
