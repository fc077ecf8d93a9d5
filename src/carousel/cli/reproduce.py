"""``carousel reproduce``: the papers' experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from carousel.cli.common import print_json, set_threads


def complete(incomplete: str) -> list[str]:
    """The names of experiments that begin so, for a shell to complete."""
    from carousel import reproduce

    return [name for name in reproduce.names() if name.startswith(incomplete)]


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="The experiment; without it, all are listed.", autocompletion=complete)
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials a setting; the paper's number by default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Minutes instead of hours: fewer trials, smaller.")] = False,
    settings: Annotated[str | None, typer.Option(help="Only these, separated by commas.", metavar="A,B")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    output: Annotated[Path, typer.Option(help="Where NAME.json and NAME.png go.", metavar="DIR")] = Path(
        "carousel-results"
    ),
    data: Annotated[
        Path | None, typer.Option(help="The folder of data sets, where one is read.", metavar="DIR")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was cut off.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 1,
    list_: Annotated[bool, typer.Option("--list", help="Only show the settings and what the paper printed.")] = False,
) -> None:
    """Run an experiment of a paper and print the paper's figures beside ours; without NAME, list them."""
    from carousel.reproduce import experiments, get, tell

    console = Console()
    if name is None:
        found = list(experiments())
        return print_json([_about(one) for one in found]) if json else tell.experiments(console, found)
    experiment = get(name)
    if list_:
        return print_json(_about(experiment)) if json else tell.settings(console, experiment)
    set_threads(threads)
    chosen = [part.strip() for part in (settings or "").split(",") if part.strip()]
    asked = {
        "trials": trials,
        "settings": ",".join(chosen) or None,
        "seed": seed or None,
        "data": "DIR" if data and experiment.needs else None,
        "threads": threads if threads > 1 else None,
    }
    _run(experiment, chosen, trials, quick, seed, output, data, resume, asked, json)


def _run(
    experiment: Any,
    settings: list[str],
    trials: int | None,
    quick: bool,
    seed: int,
    output: Path,
    data: Path | None,
    resume: bool,
    asked: dict[str, Any],
    json: bool,
) -> None:
    from carousel.reproduce import plot, record, running, table, tell
    from carousel.reproduce.progress import Progress

    partial, results = output / f"{experiment.name}.partial", output / f"{experiment.name}.json"
    old = record.read(results)
    plan = running.make_plan(experiment, trials=trials, quick=quick, settings=settings, seed=seed)
    progress = Progress(Console(stderr=json))
    try:
        finished = running.run(experiment, plan, partial, data=data, resume=resume, progress=progress)
    except KeyboardInterrupt:
        Console(stderr=True).print(
            f"stopped; what is finished is kept in {partial}. Continue with the same command and --resume.",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(130) from None
    command = record.command_of(plan, asked)
    new = [record.entry(plan, one, command) for one in finished]
    order = [setting.name for setting in experiment.settings]
    entries = record.merge(old, new, order)
    record.write(results, experiment.name, entries)
    plot.draw(results.with_suffix(".png"), experiment, entries)
    running.forget(partial)
    found = table.rows(experiment, new)
    if json:
        rows = [row.plain() for row in found]
        return print_json({"experiment": experiment.name, "file": str(results), "rows": rows, "results": new})
    tell.results(Console(), experiment, found)
    Console().print(f"\nresults {results}, plot {results.with_suffix('.png')}", highlight=False, soft_wrap=True)


def _about(experiment: Any) -> dict[str, Any]:
    """What ``--json`` prints of an experiment that is listed."""
    return {
        "name": experiment.name,
        "title": experiment.title,
        "citation": experiment.citation,
        "trials": experiment.trials,
        "needs": list(experiment.needs),
        "quick": experiment.quick._asdict(),
        "settings": [
            {
                "name": one.name,
                "title": one.title,
                "kind": one.kind,
                "options": dict(one.options),
                "paper": {name: figure._asdict() for name, figure in one.paper.items()},
            }
            for one in experiment.settings
        ],
    }
