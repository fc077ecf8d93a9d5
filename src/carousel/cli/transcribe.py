"""``carousel transcribe fit | predict | evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from carousel.cli.common import print_json, read_sizes, registered, set_threads

app = typer.Typer(help="Turn recordings or line images into text.", no_args_is_help=True)

DATA = "A folder of recordings or line images, or a table of them (CSV, TSV, Parquet) with a column path."
Data = Annotated[Path, typer.Argument(help=DATA, metavar="DATA")]
Model = Annotated[Path, typer.Argument(help="A model folder that fit wrote.", metavar="MODEL")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")]
Skip = Annotated[bool, typer.Option("--skip-faulty", help="Leave out files that will not do, and name them.")]
FEATURES, TRAINING = "What the network reads", "Model and training"


def _features(help: str, **more: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=FEATURES, **more)


def _training(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=TRAINING, **more)


@app.command()
def fit(
    data: Data,
    output: Annotated[Path | None, typer.Option(help="The model folder; DATA-transcribe by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder that is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was cut off.")] = False,
    json: Json = False,
    skip_faulty: Skip = False,
    rate: Annotated[int | None, _features("Samples a second; that of the recordings by default.", min=1)] = None,
    channel: Annotated[str | None, _features("Of recordings with several: mean, or a number from 0.")] = None,
    bands: Annotated[int, _features("Mel bands of a recording's frame.", min=1)] = 40,
    height: Annotated[int, _features("Rows of pixels of an image's column.", min=2)] = 32,
    line: Annotated[str, _features("Images: ink (straightened and scaled by it) or whole.")] = "ink",
    scale: Annotated[str | None, _features("global, own or none; global for recordings, none for images.")] = None,
    deltas: Annotated[int, _features("Derivatives in time beside the features.", min=0, max=3)] = 0,
    stack: Annotated[int | None, _features("Frames in a step; 3 of a recording, 2 of an image.", min=1)] = None,
    stride: Annotated[int | None, _features("Frames from one step to the next; as many as stack.", min=1)] = None,
    cell: Annotated[
        str,
        _training(
            "A registered cell (carousel cells lists them), or FILE.py:NAME; options in brackets, 'slstm(heads=2)'.",
            autocompletion=registered,
        ),
    ] = "lstm",
    size: Annotated[list[str] | None, _training("A further size of the cell: NAME=NUMBER.")] = None,
    hidden_size: Annotated[int, _training("Hidden units.", min=1)] = 64,
    layers: Annotated[int, _training("Recurrent layers.", min=1)] = 2,
    one_directional: Annotated[bool, _training("Read forwards only, as streaming needs.", "--one-directional")] = False,
    dropout: Annotated[float, _training("Probability to drop.", min=0, max=0.99)] = 0.2,
    noise: Annotated[float, _training("Deviation of noise on the inputs in training.", min=0)] = 0.0,
    epochs: Annotated[int, _training("At most so many epochs.", min=1)] = 100,
    patience: Annotated[int, _training("Epochs without improvement before stopping.", min=1)] = 15,
    batch_size: Annotated[int, _training("Items a step.", min=1)] = 16,
    learning_rate: Annotated[float, _training("Of AdamW.")] = 3e-3,
    seed: Annotated[int, _training("Of all random numbers.", min=0)] = 0,
    threads: Annotated[int | None, _training("Threads; all cores by default.", min=1)] = None,
    strategy: Annotated[str, _training("Lightning's: auto, ddp, ...")] = "auto",
    devices: Annotated[int, _training("Lightning's: how many processes or devices.", min=1)] = 1,
) -> None:
    """Fit a model, stop early by a part held out for that, and score another part held out."""
    from carousel.jobs.running import main_process
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    folder = output or Path(f"{data.resolve().name.split('.')[0]}-transcribe")
    transcriber = Transcriber(
        cell=cell, hidden_size=hidden_size, layers=layers, bidirectional=not one_directional, dropout=dropout,
        sizes=read_sizes(size), rate=rate, channel=channel, bands=bands, height=height, line=line, scale=scale,
        deltas=deltas, stack=stack, stride=stride, noise=noise, epochs=epochs, patience=patience,
        batch_size=batch_size, learning_rate=learning_rate, seed=seed, strategy=strategy, devices=devices,
    )  # fmt: skip
    console = Console(stderr=json)
    try:
        transcriber.fit(
            data, output=folder, overwrite=overwrite, resume=resume, skip_faulty=skip_faulty, console=console
        )
    except KeyboardInterrupt:
        Console(stderr=True).print(
            f"stopped; the last whole epoch is kept. Continue with the same command and --resume (in {folder}).",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(130) from None
    if not main_process():
        return
    if json:
        print_json(fit_result(transcriber, folder))
        return
    if transcriber.evaluation is not None:
        tell.scores(console, transcriber.evaluation)
    console.print(f"\nmodel {folder}", highlight=False, soft_wrap=True)


def fit_result(transcriber: Any, folder: Path) -> dict[str, Any]:
    """What ``fit --json`` prints."""
    evaluation, fitted = transcriber.evaluation, transcriber.fitted
    return {
        "model": str(folder),
        "inputs": fitted.inputs.plain(),
        "alphabet": fitted.alphabet.characters,
        "division": {name: len(part) for name, part in transcriber.prepared.parts.items()},
        "left_out": plain_faults(transcriber.faults),
        "training": fitted.training,
        "evaluation": evaluation and evaluation.plain(),
    }


def plain_faults(faults: list[Any]) -> list[dict[str, str]]:
    """What was left out, as plain values."""
    return [{"path": str(fault.path), "why": fault.why} for fault in faults]


@app.command()
def predict(
    model: Model,
    data: Data,
    output: Annotated[Path | None, typer.Option(help="Write the texts to this CSV or Parquet file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    json: Json = False,
    skip_faulty: Skip = False,
    threads: Threads = None,
) -> None:
    """Write the text of each recording or line image, one a line."""
    from carousel.jobs.tables import check_output, write_table
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    if output is not None:
        check_output(output, overwrite)
    transcriber = Transcriber.load(model)
    errors = Console(stderr=True)
    texts = transcriber.predict(data, skip_faulty=skip_faulty, console=errors)
    tell.faults(errors, transcriber.faults)
    if output is not None:
        write_table(texts, output)
    if json:
        rows = texts.to_dict("records")
        print_json({"model": str(model), "texts": rows, "left_out": plain_faults(transcriber.faults)})
        return
    for path, text in zip(texts["path"], texts["text"], strict=True):
        typer.echo(f"{path}\t{text}")


@app.command()
def evaluate(
    model: Model,
    data: Data,
    json: Json = False,
    skip_faulty: Skip = False,
    unknown_as_errors: Annotated[
        bool, typer.Option("--unknown-as-errors", help="Count characters that the model does not know as errors.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Label and word error rates, with 95 % intervals, and the worst examples; of a table with splits, its test."""
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    transcriber = Transcriber.load(model)
    console = Console(stderr=json)
    evaluation = transcriber.evaluate(
        data, skip_faulty=skip_faulty, unknown_as_errors=unknown_as_errors, console=console
    )
    if json:
        print_json({"model": str(model), **evaluation.plain(), "left_out": plain_faults(transcriber.faults)})
        return
    tell.faults(console, transcriber.faults)
    tell.scores(console, evaluation)
