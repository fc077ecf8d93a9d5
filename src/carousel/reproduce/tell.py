"""What the user reads: the list of experiments, and the table of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from carousel.reproduce.experiment import Experiment
from carousel.reproduce.table import HEAD, KINDS, Row, explanations, show


def experiments(console: Console, found: Iterable[Experiment]) -> None:
    """The list."""
    table = _table("experiment", "what it is", "settings", "trials", "data")
    for one in found:
        needs = ", ".join(sorted({name.split("/")[0] for name in one.needs}))
        table.add_row(one.name, one.title, str(len(one.settings)), str(one.trials), needs or "generated")
    console.print(table)
    console.print(
        "\n[dim]carousel reproduce NAME runs one; with --quick in minutes; with --list shows its settings[/dim]"
    )


def settings(console: Console, experiment: Experiment) -> None:
    """The settings of one experiment, with what the paper printed."""
    console.print(f"{experiment.title}\n[dim]{experiment.citation}[/dim]\n", highlight=False)
    kinds = {measure.name: measure for measure in experiment.measures}
    for kind, title in KINDS.items():
        chosen = [setting for setting in experiment.settings if setting.kind == kind]
        if not chosen:
            continue
        table = _table("setting", "what it is", "trials", "the paper's figures")
        for one in chosen:
            figures = [f"{show(kinds[name], f.value)} {name} ({f.mark})" for name, f in one.paper.items()]
            table.add_row(one.name, one.title, str(one.trials or experiment.trials), "; ".join(figures) or "–")
        console.print(f"[bold]{title}[/bold]")
        console.print(table)
        console.print()
    quick = experiment.quick
    which = f"the settings {', '.join(quick.settings)}" if quick.settings else "all settings"
    trials = f"{quick.trials} trial{'s' * (quick.trials != 1)} a setting"
    console.print(f"--quick runs {which}, {trials}, and cuts {quick.cut}.", highlight=False, soft_wrap=True)


def results(console: Console, experiment: Experiment, found: Sequence[Row]) -> None:
    """The table of a run, the paper's own way and today's apart, and why ours is worse where it is."""
    console.print(f"\n{experiment.title}\n[dim]{experiment.citation}[/dim]\n", highlight=False)
    for kind, title in KINDS.items():
        chosen = [row for row in found if row.setting.kind == kind]
        if not chosen:
            continue
        table = _table(*HEAD)
        for row in chosen:
            table.add_row(*row.cells())
        console.print(f"[bold]{title}[/bold]")
        console.print(table)
        console.print()
    for line in explanations(experiment, found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
