"""Whether a training that was cut off is the one that is asked for now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carousel.jobs import JobError
from carousel.jobs.folder import Job, read_model

TOLD = ("settings", "columns")  # the parts of model.json that the user decided


def same_training(folder: Path, job: Job, model: dict[str, Any]) -> None:
    """Raise JobError unless the training in the folder is this one, and unfinished.

    ``model`` is what model.json would hold now: its settings, its cell, and a fingerprint of its data.
    """
    begun = read_model(folder, job)
    if begun.get("status") == "finished":
        raise JobError(f"{folder}: its training is finished, there is nothing to resume; use --overwrite to fit anew.")
    before = {name: value for part in TOLD for name, value in begun.get(part, {}).items()}
    now = {name: value for part in TOLD for name, value in model.get(part, {}).items()}
    for name, value in now.items():
        if before.get(name) != (list(value) if isinstance(value, tuple) else value):
            raise JobError(
                f"{folder}: begun with {name} = {before.get(name)!r}, now it is {value!r}; resume with the same."
            )
    if begun.get("cell") != model["cell"]:
        raise JobError(f"{folder}: the equations of the cell have changed since the training was begun.")
    if begun.get("data", {}).get("fingerprint") != model["data"]["fingerprint"]:
        raise JobError(f"{folder}: the data have changed since the training was begun; resume with the same data.")
