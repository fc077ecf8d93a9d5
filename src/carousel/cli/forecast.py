"""``carousel forecast fit | predict | evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from carousel.cli.common import print_json, read_sizes, registered, set_threads
from carousel.jobs import JobError

app = typer.Typer(help="Forecast columns of a table, many steps ahead, with intervals.", no_args_is_help=True)

Data = Annotated[Path, typer.Argument(help="A CSV or Parquet file, one row a time (and series).", metavar="DATA")]
Model = Annotated[Path, typer.Argument(help="A model folder that fit wrote.", metavar="MODEL")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")]
MOST_ROWS = 60  # of forecasts, on the screen
SMALL_NETWORK = 64 * 128  # batch x hidden units
COLUMNS, TRAINING = "Columns", "Model and training"


def _columns(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=COLUMNS)


def _training(help: str, **more: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=TRAINING, **more)


@app.command()
def fit(
    data: Data,
    target: Annotated[str, _columns("The column to forecast.")],
    horizon: Annotated[int, typer.Option(min=1, help="How many steps ahead.")],
    time: Annotated[str | None, _columns("The column of times; found if there is one of dates.")] = None,
    id: Annotated[str | None, _columns("The column that names each row's series.")] = None,
    known: Annotated[list[str] | None, _columns("Columns known for the future too; repeat, or use commas.")] = None,
    past: Annotated[list[str] | None, _columns("Columns known up to the present only.")] = None,
    static: Annotated[list[str] | None, _columns("Columns that do not change within a series.")] = None,
    output: Annotated[Path | None, typer.Option(help="The model folder; DATA-forecast by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder that is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was cut off.")] = False,
    json: Json = False,
    cell: Annotated[
        str,
        _training(
            "A registered cell (carousel cells lists them), or FILE.py:NAME; options in brackets, 'slstm(heads=2)'.",
            autocompletion=registered,
        ),
    ] = "lstm",
    size: Annotated[list[str] | None, _training("A further size of the cell: NAME=NUMBER.")] = None,
    context: Annotated[int | None, _training("Steps of history to read; chosen by default.", min=1)] = None,
    season: Annotated[int | None, _training("Steps in a season; found by default.", min=1)] = None,
    distribution: Annotated[str, _training("quantile or gaussian.")] = "quantile",
    quantiles: Annotated[str, _training("What to forecast; the outermost two make the interval.")] = "0.1,0.5,0.9",
    hidden_size: Annotated[int, _training("Hidden units.", min=1)] = 32,
    layers: Annotated[int, _training("Recurrent layers.", min=1)] = 1,
    dropout: Annotated[float, _training("Probability to drop.", min=0, max=0.99)] = 0.2,
    epochs: Annotated[int, _training("At most so many epochs.", min=1)] = 60,
    patience: Annotated[int, _training("Epochs without improvement before stopping.", min=1)] = 8,
    batch_size: Annotated[int, _training("Windows a step.", min=1)] = 64,
    learning_rate: Annotated[float, _training("Of AdamW.")] = 1e-3,
    seed: Annotated[int, _training("Of all random numbers.", min=0)] = 0,
    threads: Annotated[int | None, _training("Threads; one for a small network, else all cores.", min=1)] = None,
    strategy: Annotated[str, _training("Lightning's: auto, ddp, ...")] = "auto",
    devices: Annotated[int, _training("Lightning's: how many processes or devices.", min=1)] = 1,
) -> None:
    """Fit a model to the first 70 % of each series, stop early on the next 10 %, score the rest."""
    from carousel.jobs.forecast import tell
    from carousel.jobs.forecast.forecaster import Forecaster
    from carousel.jobs.running import main_process
    from carousel.jobs.tables import read_table

    small = hidden_size * batch_size <= SMALL_NETWORK  # a second thread would only be waited for
    set_threads(threads or (1 if small else None))
    folder = output or Path(f"{data.name.split('.')[0]}-forecast")
    forecaster = Forecaster(
        target, horizon, time=time, id=id, known=known or (), past=past or (), static=static or (), cell=cell,
        context=context, season=season, distribution=distribution, quantiles=_numbers(quantiles),
        hidden_size=hidden_size, layers=layers, dropout=dropout, sizes=read_sizes(size), epochs=epochs,
        patience=patience, batch_size=batch_size, learning_rate=learning_rate, seed=seed, strategy=strategy,
        devices=devices,
    )  # fmt: skip
    console = Console(stderr=json)
    frame = read_table(data)
    try:
        forecaster.fit(frame, output=folder, overwrite=overwrite, resume=resume, console=console)
    except KeyboardInterrupt:
        Console(stderr=True).print(
            f"stopped; the last whole epoch is kept. Continue with the same command and --resume (in {folder}).",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(130) from None
    if not main_process():
        return
    if json:
        print_json(fit_result(forecaster, folder))
        return
    assert forecaster.evaluation is not None
    tell.scores(console, forecaster.evaluation)
    console.print(f"\nmodel {folder}, plot {folder / 'forecast.png'}", highlight=False, soft_wrap=True)


def fit_result(forecaster: Any, folder: Path) -> dict[str, Any]:
    """What ``fit --json`` prints."""
    from carousel.jobs.forecast.fitted import plain_evaluation

    fitted = forecaster.fitted
    return {
        "model": str(folder),
        "plot": str(folder / "forecast.png"),
        "data": forecaster.report.__dict__,
        "columns": fitted.columns._asdict(),
        "season": fitted.view.season,
        "context": fitted.view.context,
        "series": {name: division._asdict() for name, division in fitted.divisions.items()},
        "training": fitted.training,
        "evaluation": plain_evaluation(forecaster.evaluation),
    }


@app.command()
def predict(
    model: Model,
    data: Data,
    output: Annotated[Path | None, typer.Option(help="Write the forecasts to this CSV or Parquet file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    json: Json = False,
    threads: Threads = None,
) -> None:
    """Forecast the steps after the last target of each series in DATA."""
    from carousel.jobs.forecast import tell
    from carousel.jobs.forecast.forecaster import Forecaster
    from carousel.jobs.forecast.write import records
    from carousel.jobs.tables import check_output, read_table, write_table

    set_threads(threads)
    if output is not None:
        check_output(output, overwrite)
    forecaster = Forecaster.load(model)
    forecasts = forecaster.predict(read_table(data))
    if output is not None:
        write_table(forecasts, output)
    if json:
        print_json({"model": str(model), "output": output and str(output), "forecasts": records(forecasts)})
        return
    console = Console()
    assert forecaster.report is not None
    tell.report(console, forecaster.report)
    console.print()
    console.print(_rows(records(forecasts[:MOST_ROWS])))
    if len(forecasts) > MOST_ROWS:
        console.print(f"and {len(forecasts) - MOST_ROWS:,} more rows; --output writes them all", highlight=False)
    if output is not None:
        console.print(f"written to {output}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(model: Model, data: Data, json: Json = False, threads: Threads = None) -> None:
    """Score rolling origins of DATA after what training and validation saw, beside the baselines."""
    from carousel.jobs.forecast import tell
    from carousel.jobs.forecast.fitted import plain_evaluation
    from carousel.jobs.forecast.forecaster import Forecaster
    from carousel.jobs.tables import read_table

    set_threads(threads)
    forecaster = Forecaster.load(model)
    evaluation = forecaster.evaluate(read_table(data))
    if json:
        print_json({"model": str(model), **plain_evaluation(evaluation)})
        return
    assert forecaster.report is not None
    tell.report(Console(), forecaster.report)
    tell.scores(Console(), evaluation)


def _rows(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, value in found[0].items():
        table.add_column(name, justify="right" if isinstance(value, float) else "left")
    for row in found:
        table.add_row(*(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise JobError(f"--quantiles is {text!r}, expected numbers separated by commas, such as 0.1,0.5,0.9.") from None
