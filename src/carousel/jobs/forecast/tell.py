"""What the user reads while and after fitting."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from carousel.jobs.forecast.columns import Columns
from carousel.jobs.forecast.evaluation import Evaluation
from carousel.jobs.forecast.fitted import Fitted
from carousel.jobs.forecast.prepare import Prepared
from carousel.jobs.forecast.series import Report, Table, show_time
from carousel.jobs.telling import line


def data(console: Console | None, table: Table, columns: Columns, prepared: Prepared) -> None:
    """What was read, and how it is divided."""
    if console is None:
        return
    say = line(console)
    report(console, table.report)
    if columns.time is None:
        say("", "no column of times: rows are taken as they stand, equally spaced")
    roles = [
        f"{role} {', '.join(names)}" for role, names in columns._asdict().items() if isinstance(names, tuple) and names
    ]
    if roles:
        say("covariates", "; ".join(roles))
    one = table.series[0]
    cut = prepared.cuts[one.name]
    until = [show_time(one.times[row - 1]) for row in (cut.training, cut.validation)]
    of = f" (series {one.name!r}, the others likewise)" if len(table.series) > 1 else ""
    say("division", f"training to {until[0]}, validation to {until[1]}, the rest held out{of}")
    season = f"a season of {prepared.view.season} steps" if prepared.view.season > 1 else "no season found"
    logarithm = any(scale.floor is not None for scale in prepared.view.scales.values())
    say("", season + (", on a logarithmic scale" if logarithm else ""))


def report(console: Console, read: Report) -> None:
    """What was read."""
    for number, text in enumerate(read.lines()):
        line(console)("" if number else "data", text)


def model(console: Console | None, fitted: Fitted, settings: dict[str, Any]) -> None:
    """What will be trained."""
    if console is None:
        return
    weights = sum(p.numel() for p in fitted.network.parameters())
    sizes = ", ".join(f"{name} {value}" for name, value in fitted.network.encoder.sizes.items() if name != "input_size")
    line(console)(
        "model",
        f"linear forecast corrected by {fitted.network.encoder.cell.name} ({sizes}, layers {settings['layers']}, "
        f"{weights:,} weights), reading {fitted.view.context} steps to forecast {fitted.view.horizon}",
    )


def training(console: Console | None, happened: dict[str, Any]) -> None:
    """How training went."""
    if console is None:
        return
    first, best = happened["validation_loss_without_network"], happened["validation_loss"]
    gain = f"{1 - best / first:.1%} below" if first > 0 and best < first else "not below"
    line(console)(
        "training",
        f"{happened['epochs']} epochs, best after {happened['best_epoch']}: validation loss {best:.4f}, "
        f"{gain} that of the linear forecast alone ({first:.4f})",
    )


def scores(console: Console, evaluation: Evaluation) -> None:
    """The table."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("MAE", "RMSE", "MASE", f"in {evaluation.interval:.0%} interval"):
        table.add_column(name, justify="right")
    for name, one in evaluation.scores.items():
        cells = [f"{value:.4g}" for value in (one.mae, one.rmse)] + [f"{one.mase:.3f}"]
        cells.append("" if one.coverage is None else f"{one.coverage:.1%}")
        table.add_row(name, *cells, style="bold" if name == next(iter(evaluation.scores)) else None)
    console.print()
    console.print(table)
    console.print()
    season = f"a season ({evaluation.season} steps)" if evaluation.season > 1 else "one step"
    console.print(f"{evaluation.says()}.", highlight=False, soft_wrap=True)
    console.print(
        f"MASE is the mean absolute error over that of repeating the value of {season} before in the training part.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
