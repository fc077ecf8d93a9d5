"""Runs an experiment, group of trials by group of trials, and keeps what is finished, so that a kill costs little."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from carousel.jobs import JobError
from carousel.jobs.folder import write_json
from carousel.jobs.running import seeded
from carousel.reproduce.experiment import Experiment, Setting, Trial
from carousel.reproduce.progress import Progress
from carousel.reproduce.work import Work, find

SEEDS = 10_000  # of one --seed: trial k of --seed S has the seed 10,000 S + k


class Plan(NamedTuple):
    """What is asked for; two runs of one plan give the same numbers."""

    experiment: str
    quick: bool
    seed: int
    threads: int
    settings: dict[str, dict[str, Any]]  # the options of each
    seeds: dict[str, list[int]]


class Finished(NamedTuple):
    """The trials of one setting, with the seconds that they took."""

    setting: Setting
    options: dict[str, Any]
    trials: list[Trial]
    seconds: float


def make_plan(
    experiment: Experiment,
    *,
    trials: int | None = None,
    quick: bool = False,
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Plan:
    """What a call asks for: the settings named, or all (with ``quick``: those it names), and the paper's trials.

    Raises:
        JobError: there is no such setting, or too many trials are asked for.
    """
    named = tuple(settings) or (quick and experiment.quick.settings) or tuple(s.name for s in experiment.settings)
    chosen = [experiment.setting(name) for name in named]
    counts = {s.name: trials or (experiment.quick.trials if quick else s.trials or experiment.trials) for s in chosen}
    if max(counts.values()) > SEEDS:
        raise JobError(f"--trials is {trials}, expected at most {SEEDS:,}, since one --seed gives as many seeds.")
    return Plan(
        experiment.name,
        quick,
        seed,
        torch.get_num_threads(),
        {s.name: {**s.options, **(s.quick if quick else {})} for s in chosen},
        {name: [SEEDS * seed + k for k in range(count)] for name, count in counts.items()},
    )


def run(
    experiment: Experiment, plan: Plan, partial: Path, *, data: Path | None, resume: bool, progress: Progress
) -> list[Finished]:
    """Run the plan, or what is left of it; the folder ``partial`` holds what is finished. It stays until `forget`.

    Raises:
        JobError: data are missing; there is nothing to resume, or another plan's; or an unfinished run is in the way.
        KeyboardInterrupt: the user stopped it.
    """
    for name in experiment.needs:
        find(data, name)
    _claim(partial, plan, resume)
    with progress:
        progress.start(sum(map(len, plan.seeds.values())))
        return [_run_setting(experiment, plan, name, partial / name, data, progress) for name in plan.settings]


def forget(partial: Path) -> None:
    """Remove what was kept of a run whose results are written."""
    shutil.rmtree(partial)


def _run_setting(
    experiment: Experiment, plan: Plan, name: str, folder: Path, data: Path | None, progress: Progress
) -> Finished:
    setting, seeds = experiment.setting(name), plan.seeds[name]
    size = setting.together or experiment.together or len(seeds)
    trials: list[Trial] = []
    seconds = 0.0
    for first in range(0, len(seeds), size):
        progress.group(name, first, len(seeds), len(seeds[first : first + size]))
        group = _run_group(
            experiment, plan.settings[name], seeds[first : first + size], folder / f"{first:05d}", data, progress
        )
        trials += group["trials"]
        seconds += group["seconds"]
    progress.finished(name, len(seeds), seconds)
    return Finished(setting, plan.settings[name], trials, seconds)


def _run_group(
    experiment: Experiment, options: dict[str, Any], seeds: list[int], folder: Path, data: Path | None, progress: Any
) -> dict[str, Any]:
    """The trials of these seeds, from their file where they are finished already."""
    kept = folder.with_suffix(".json")
    if not kept.exists():
        begin = time.perf_counter()
        with seeded(seeds[0]):
            trials = experiment.run(Work(seeds, folder, data, progress.step), **options)
        assert len(trials) == len(seeds), f"{experiment.name} returned {len(trials)} trials of {len(seeds)}"
        plain = [{"seed": seed, **_plain(trial)} for seed, trial in zip(seeds, trials, strict=True)]
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, {"trials": plain, "seconds": time.perf_counter() - begin})
        shutil.rmtree(folder, ignore_errors=True)
    progress.step(1.0, "")
    return _read(kept)


def _plain(trial: Trial) -> Trial:
    """Numbers as JSON has them; what is not finite is missing."""
    return {
        name: [[_number(x), _number(y)] for x, y in value] if isinstance(value, Sequence) else _number(value)
        for name, value in trial.items()
    }


def _number(value: Any) -> int | float | None:
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


def _claim(partial: Path, plan: Plan, resume: bool) -> None:
    """Make the folder of what is finished, or see that it holds the same plan."""
    path = partial / "plan.json"
    wanted = json.loads(json.dumps(plan._asdict()))
    if not resume:
        if partial.exists():
            raise JobError(f"{partial} holds an unfinished run; continue it with --resume, or remove it.")
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise JobError(f"{partial}: cannot be made ({error.strerror}); choose another --output.") from None
        write_json(path, wanted)
        return
    if not path.exists():
        raise JobError(f"{partial.parent}: no run of {plan.experiment} to resume there; start without --resume.")
    begun = _read(path)
    for name, value in wanted.items():
        if begun.get(name) != value:
            raise JobError(_says_difference(partial, name, begun.get(name), value))


def _says_difference(partial: Path, name: str, before: Any, now: Any) -> str:
    """One line on what differs, without the parts that are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        if list(before) != list(now):
            before, now = ", ".join(before), ", ".join(now)
        else:
            (name, before, now), *_ = [(f"{name} of {k}", before[k], now[k]) for k in now if before[k] != now[k]]
            if isinstance(now, list):
                name, before, now = name.replace("seeds", "trials"), len(before), len(now)
    return f"{partial}: begun with {name} = {before!r}, now it is {now!r}; resume with the same, or remove the folder."


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise JobError(f"{path} is damaged; remove it, and what it held is run again.") from None
