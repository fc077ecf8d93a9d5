"""The file of results: every trial's numbers, with what they came from."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from carousel.info import processor
from carousel.jobs import JobError
from carousel.jobs.folder import write_json

if TYPE_CHECKING:
    from carousel.reproduce.running import Finished, Plan

Entry = dict[str, Any]  # of one setting


def entry(plan: Plan, finished: Finished, command: str) -> Entry:
    """One setting's results and all that they came from."""
    from carousel import __version__, info

    return {
        "setting": finished.setting.name,
        "kind": finished.setting.kind,
        "quick": plan.quick,
        "options": finished.options,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "seconds": round(finished.seconds, 2),
        "machine": {
            "processor": processor(),
            "threads": plan.threads,
            "system": f"{platform.system()} {platform.machine()}",
            "instruction set": info().variant,
        },
        "versions": {"carousel": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "trials": finished.trials,
    }


def command_of(plan: Plan, asked: dict[str, Any]) -> str:
    """The command line that gives the same numbers; folders of the user's own are not told."""
    words = ["carousel", "reproduce", plan.experiment]
    words += ["--quick"] * plan.quick
    words += [f"--{name} {value}" for name, value in asked.items() if value is not None]
    return " ".join(words)


def read(path: Path) -> list[Entry]:
    """The entries of a file of results; none where there is no file.

    Raises:
        JobError: it is no file of results.
    """
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text(encoding="utf-8"))["results"]
    except (ValueError, KeyError, TypeError):
        raise JobError(f"{path} is no file of results; remove it, or choose another --output.") from None


def merge(old: list[Entry], new: list[Entry], order: list[str]) -> list[Entry]:
    """The entries of both; a setting that was run again, as quick as before, takes its old place."""
    found = {(one["setting"], one["quick"]): one for one in (*old, *new) if one["setting"] in order}
    return sorted(found.values(), key=lambda one: (order.index(one["setting"]), one["quick"]))


def write(path: Path, experiment: str, entries: list[Entry]) -> None:
    """Write a file of results."""
    write_json(path, {"experiment": experiment, "results": entries})
