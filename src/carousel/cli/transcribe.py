"""``carousel transcribe fit | predict | evaluate | align``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from carousel.cli.common import print_json, read_sizes, registered, set_threads
from carousel.jobs import JobError

app = typer.Typer(help="Turn recordings or line images into text.", no_args_is_help=True)

DATA = "A folder of recordings or line images, or a table of them (CSV, TSV, Parquet) with a column path."
Data = Annotated[Path, typer.Argument(help=DATA, metavar="DATA")]
Model = Annotated[Path, typer.Argument(help="A model folder that fit wrote.", metavar="MODEL")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")]
Skip = Annotated[bool, typer.Option("--skip-faulty", help="Leave out files that will not do, and name them.")]
FEATURES, TRAINING, DECODING = "What the network reads", "Model and training", "Decoding"
Decoder = Annotated[
    str, typer.Option(help="best-path, prefix-search (of CTC alone) or beam.", rich_help_panel=DECODING)
]
Beam = Annotated[
    int | None,
    typer.Option(min=1, help="Beginnings that a beam keeps; 50, or of a transducer 10.", rich_help_panel=DECODING),
]
Language = Annotated[
    str | None,
    typer.Option(
        help="For a beam: an ARPA file of words or characters, or own: the model's.", rich_help_panel=DECODING
    ),
]
Weight = Annotated[float, typer.Option(min=0, help="Of the language model.", rich_help_panel=DECODING)]
Bonus = Annotated[float, typer.Option(help="For each character or word, in nats.", rich_help_panel=DECODING)]


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
    model: Annotated[str, _training("ctc or transducer: how transcripts train the network.")] = "ctc",
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
    warp: Annotated[float, _training("Part by which items are stretched at random in training.", min=0, max=0.5)] = 0.0,
    language_model: Annotated[
        str | None, _training("transcripts or a text file: learn a language model of characters from it.")
    ] = None,
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
        model=model, cell=cell, hidden_size=hidden_size, layers=layers, bidirectional=not one_directional,
        dropout=dropout, sizes=read_sizes(size), rate=rate, channel=channel, bands=bands, height=height, line=line,
        scale=scale, deltas=deltas, stack=stack, stride=stride, noise=noise, warp=warp, language_model=language_model,
        epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
        strategy=strategy, devices=devices,
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
    decoder: Decoder = "best-path",
    beam: Beam = None,
    language_model: Language = None,
    lm_weight: Weight = 0.5,
    lm_bonus: Bonus = 0.0,
    stream: Annotated[bool, typer.Option("--stream", help="Recognise while listening; - is 16-bit samples.")] = False,
    chunk: Annotated[float, typer.Option(min=0.001, help="Seconds that are listened to at a time.")] = 0.2,
    threads: Threads = None,
) -> None:
    """Write the text of each recording or line image, one a line.

    With --stream, first each text so far, with the seconds heard. DATA may then be - for signed 16-bit samples
    (little-endian, one channel, at the model's rate) on standard input.
    """
    from carousel.jobs.tables import check_output, write_table
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.decoding import Decoding
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    decoding = Decoding(decoder, beam, language_model, lm_weight, lm_bonus)
    if output is not None:
        check_output(output, overwrite)
    transcriber = Transcriber.load(model)
    if stream:
        if json or output is not None:
            raise JobError("--stream prints texts as they come; leave out --json and --output.")
        stream_all(transcriber, data, decoding, chunk)
        return
    errors = Console(stderr=True)
    texts = transcriber.predict(data, decoding=decoding, skip_faulty=skip_faulty, console=errors)
    tell.faults(errors, transcriber.faults)
    if output is not None:
        write_table(texts, output)
    if json:
        rows = texts.to_dict("records")
        print_json({"model": str(model), "texts": rows, "left_out": plain_faults(transcriber.faults)})
        return
    for path, text in zip(texts["path"], texts["text"], strict=True):
        typer.echo(f"{path}\t{text}")


def stream_all(transcriber: Any, data: Path, decoding: Any, chunk: float) -> None:
    """Print the texts so far, and then the whole, of each recording or of standard input."""
    from carousel.jobs.transcribe.reading import find
    from carousel.jobs.transcribe.streaming import listen_to

    listener = transcriber.listen(decoding=decoding)
    sources: list[Any] = [sys.stdin.buffer] if str(data) == "-" else [item.path for item in find(data)]
    for source in sources:
        text = ""
        for seconds, text in listen_to(listener, source, chunk):
            typer.echo(f"{seconds:.2f}\t{text}")
        typer.echo(f"{source if isinstance(source, Path) else '-'}\t{text}")


@app.command()
def evaluate(
    model: Model,
    data: Data,
    json: Json = False,
    skip_faulty: Skip = False,
    unknown_as_errors: Annotated[
        bool, typer.Option("--unknown-as-errors", help="Count characters that the model does not know as errors.")
    ] = False,
    decoder: Decoder = "best-path",
    beam: Beam = None,
    language_model: Language = None,
    lm_weight: Weight = 0.5,
    lm_bonus: Bonus = 0.0,
    threads: Threads = None,
) -> None:
    """Label and word error rates, with 95 % intervals, and the worst examples; of a table with splits, its test."""
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.decoding import Decoding
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    decoding = Decoding(decoder, beam, language_model, lm_weight, lm_bonus)
    transcriber = Transcriber.load(model)
    console = Console(stderr=json)
    evaluation = transcriber.evaluate(
        data, decoding=decoding, skip_faulty=skip_faulty, unknown_as_errors=unknown_as_errors, console=console
    )
    if json:
        print_json({"model": str(model), **evaluation.plain(), "left_out": plain_faults(transcriber.faults)})
        return
    tell.faults(console, transcriber.faults)
    tell.scores(console, evaluation)


@app.command()
def align(
    model: Model,
    data: Data,
    output: Annotated[Path | None, typer.Option(help="Write the table to this CSV or Parquet file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw each alignment to this folder, as NAME.png.")] = None,
    textgrids: Annotated[
        Path | None, typer.Option(help="Write Praat's NAME.TextGrid of each recording to this folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    written: Annotated[
        bool, typer.Option("--written", help="Align what the model writes, instead of transcripts.")
    ] = False,
    json: Json = False,
    skip_faulty: Skip = False,
    decoder: Decoder = "best-path",
    beam: Beam = None,
    language_model: Language = None,
    lm_weight: Weight = 0.5,
    lm_bonus: Bonus = 0.0,
    threads: Threads = None,
) -> None:
    """Say where each word and character stands: seconds of a recording, pixels of an image."""
    import pandas as pd

    from carousel.jobs.tables import check_output, write_table
    from carousel.jobs.transcribe import tell
    from carousel.jobs.transcribe.alignment import check_folder, rows, write_plots, write_text_grids
    from carousel.jobs.transcribe.decoding import Decoding
    from carousel.jobs.transcribe.transcriber import Transcriber

    set_threads(threads)
    if output is not None:
        check_output(output, overwrite)
    for folder in (plots, textgrids):
        check_folder(folder, overwrite)
    transcriber, errors = Transcriber.load(model), Console(stderr=True)
    decoding = Decoding(decoder, beam, language_model, lm_weight, lm_bonus)
    found = transcriber.align(data, written=written, decoding=decoding, skip_faulty=skip_faulty, console=errors)
    tell.faults(errors, transcriber.faults)
    if plots is not None:
        write_plots(plots, found)
    if textgrids is not None:
        write_text_grids(textgrids, found)
    table = rows(found)
    if output is not None:
        write_table(pd.DataFrame(table), output)
    if json:
        unit = found[0].ruler.unit
        print_json({"model": str(model), "unit": unit, "spans": table, "left_out": plain_faults(transcriber.faults)})
    elif output is None:
        typer.echo("path\tunit\ttext\tstart\tend\tprobability")
        for row in table:
            typer.echo("\t".join(f"{one:.3f}" if isinstance(one, float) else str(one) for one in row.values()))
