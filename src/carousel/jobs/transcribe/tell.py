"""What the user reads while and after fitting."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from carousel.jobs.telling import line
from carousel.jobs.transcribe.evaluation import Evaluation
from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.prepare import Prepared
from carousel.jobs.transcribe.samples import Fault
from carousel.jobs.transcribe.sound import LogMel


def data(console: Console | None, prepared: Prepared) -> None:
    """What was read, and how it is divided."""
    if console is None:
        return
    say, parts = line(console), prepared.parts
    say("data", f"{len(prepared.all):,} {_things(prepared.inputs)}, {_amount(prepared)}")
    characters = prepared.alphabet.characters
    say("", f"{len(characters)} characters: {characters.replace(' ', '␣')}")
    if prepared.untaught:
        say("", f"never in training, so the model cannot learn them: {' '.join(prepared.untaught)}")
    say("division", ", ".join(f"{len(part):,} {name}" for name, part in parts.items()) + f": {prepared.how}")
    faults(console, prepared.faults)


def faults(console: Console, left_out: list[Fault]) -> None:
    """What was left out, and why."""
    for number, fault in enumerate(left_out):
        line(console)("" if number else "left out", f"{fault.path}: {fault.why}")


def _things(inputs: Any) -> str:
    return "recordings" if isinstance(inputs.features, LogMel) else "line images"


def _amount(prepared: Prepared) -> str:
    frames = sum(len(sample.frames) for sample in prepared.all)
    features = prepared.inputs.features
    if not isinstance(features, LogMel):
        return f"{frames:,} columns {features.height} high"
    minutes = frames * features.step / features.rate / 60
    return f"{minutes:.1f} minutes at {features.rate:,} samples a second"


def model(console: Console | None, fitted: Fitted, settings: dict[str, Any]) -> None:
    """What will be trained."""
    if console is None:
        return
    weights = sum(p.numel() for p in fitted.network.parameters())
    inputs, layers = fitted.inputs, fitted.network.layers
    sizes = ", ".join(f"{name} {value}" for name, value in layers.sizes.items() if name != "input_size")
    ways = "both ways" if layers.bidirectional else "one way"
    what = "log-mel bands" if isinstance(inputs.features, LogMel) else "rows of pixels"
    line(console)(
        "model",
        f"{layers.cell.name} ({sizes}, layers {layers.num_layers}, {ways}, {weights:,} weights) on {inputs.stack} "
        f"frames of {inputs.features.width} {what} every {inputs.stride}; {fitted.network.head.title}",
    )


def training(console: Console | None, happened: dict[str, Any]) -> None:
    """How training went."""
    if console is None:
        return
    say = line(console)
    say(
        "training",
        f"{happened['epochs']} epochs, best after {happened['best_epoch']}: validation label error rate "
        f"{happened['validation_label_error_rate']:.2%}, loss {happened['validation_loss']:.4f} nats a label",
    )
    language = happened.get("language_model")
    if language:
        say(
            "language",
            f"LSTM of characters from {language['texts']:,} texts ({language['characters']:,} characters), "
            f"{language['epochs']} epochs: {language['validation_loss']:.3f} nats a character",
        )


def scores(console: Console, evaluation: Evaluation) -> None:
    """The error rates and the worst examples."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "error rate", "95 % interval", "errors"):
        table.add_column(name, justify="right" if name else "left")
    for name, one in (("characters", evaluation.characters), ("words", evaluation.words)):
        interval = f"{one.low:.2%} to {one.high:.2%}"
        table.add_row(name, f"{one.rate:.2%}", interval, f"{one.errors:,} of {one.length:,}")
    console.print()
    console.print(table)
    console.print()
    console.print(f"{evaluation.says()}; the intervals are bootstrapped over items.", highlight=False, soft_wrap=True)
    for example in evaluation.worst:
        console.print(f"\n[dim]{example.errors} wrong[/dim] ", end="")
        console.print(example.path, highlight=False, markup=False, soft_wrap=True)
        for head, text in (("said", example.text), ("written", example.written)):
            line(console)(head, text)
