"""The model folder: weights as safetensors, everything else as JSON that a person can read; nothing is unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError

FORMAT = 1
WEIGHTS, MODEL, METRICS = "weights.safetensors", "model.json", "metrics.json"


class Job(NamedTuple):
    """What writes model folders: its command, and what its fit writes there beside weights, model and metrics."""

    name: str
    files: tuple[str, ...]


def write_json(path: Path, value: Any) -> None:
    """Write beside the target, then take its place: the file is whole at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        JobError: it is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JobError(f"{path.parent}: no {path.name} there, so it is no model folder.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise JobError(f"{path}: damaged, not readable as JSON ({error}). Fit the model again.") from None
    if not isinstance(value, dict):
        raise JobError(f"{path}: damaged, expected a JSON object. Fit the model again.")
    return value


def read_model(folder: Path, job: Job) -> dict[str, Any]:
    """``model.json``, checked for its format.

    Raises:
        JobError: the folder is missing, damaged, of another format, or of another job.
    """
    if not folder.is_dir():
        raise JobError(f"{folder}: no such model folder.")
    model = read_json(folder / MODEL)
    if model.get("format") != FORMAT:
        raise JobError(
            f"{folder}: model folder of format {model.get('format')!r} (written by carousel {model.get('carousel')}), "
            f"this version reads format {FORMAT}. Fit the model again."
        )
    wrote = model.get("job")
    if wrote != job.name:
        raise JobError(f"{folder}: a model of carousel {wrote}, expected one of carousel {job.name}.")
    return model


def write_weights(folder: Path, tensors: dict[str, Tensor]) -> None:
    """All tensors of the model."""
    from safetensors.torch import save_file

    fresh = folder / f"{WEIGHTS}.new"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, fresh)
    os.replace(fresh, folder / WEIGHTS)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of the model.

    Raises:
        JobError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise JobError(f"{folder / WEIGHTS}: missing or damaged ({error}). Fit the model again.") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise JobError(
                f"{folder / WEIGHTS}: damaged, {name} holds values that are no numbers. Fit the model again."
            )
    # copies: mapped tensors lie at odd addresses, where matrix products round otherwise than in the fitted model
    return {name: tensor.clone() for name, tensor in tensors.items()}


def check_free(folder: Path, job: Job, overwrite: bool, resume: bool) -> None:
    """See whether a model can be written there.

    Raises:
        JobError: something is there and neither ``overwrite`` nor ``resume`` was given, or it is no model folder of
            this job.
    """
    if folder.exists() and not folder.is_dir():
        raise JobError(f"{folder} is a file, expected a folder to write the model to; choose another --output.")
    filled = folder.is_dir() and any(folder.iterdir())
    if resume:
        if not (folder / MODEL).exists():
            raise JobError(f"{folder}: no training to resume there; start without --resume.")
        return
    if filled and not overwrite:
        raise JobError(f"{folder} exists; use --overwrite to replace it, or choose another --output.")
    if filled and not (folder / MODEL).exists():
        raise JobError(f"{folder} is not a model folder and will not be overwritten; choose another --output.")
    if filled and read_json(folder / MODEL).get("job") != job.name:
        raise JobError(
            f"{folder} is no model of carousel {job.name} and will not be overwritten; choose another --output."
        )


def claim(folder: Path, job: Job, overwrite: bool, resume: bool) -> None:
    """Make the folder, or empty one of ours; to resume, leave it as it is. Raises JobError as ``check_free`` does."""
    check_free(folder, job, overwrite, resume)
    if not resume and folder.is_dir():
        _empty(folder, job)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"{folder}: cannot be made ({error.strerror}); choose another --output.") from None


def _empty(folder: Path, job: Job) -> None:
    """Remove what a fit writes, and nothing else."""
    import shutil

    for name in (WEIGHTS, MODEL, METRICS, *job.files):
        (folder / name).unlink(missing_ok=True)
    for name in ("logs", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
