"""The command ``carousel`` and its faults: one clear line and exit code 2, never a traceback for what a user did."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from carousel.cli import cells, forecast, transcribe
from carousel.cli.reproduce import reproduce
from carousel.errors import CellError
from carousel.jobs import JobError

app = typer.Typer(
    name="carousel",
    help="Memory cells written as their equations, and what is done with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cells.app, name="cells")
app.add_typer(forecast.app, name="forecast")
app.add_typer(transcribe.app, name="transcribe")
app.command()(reproduce)


@app.command()
def info() -> None:
    """Say which engines there are, and why one is missing."""
    import carousel

    typer.echo(str(carousel.info()))


@app.command()
def demo(
    output: Annotated[str, typer.Option(help="Where to write the data and the models.")] = "carousel-demo",
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 1,
) -> None:
    """Forecast CO2 at Mauna Loa and sea-surface temperatures, which come with statsmodels."""
    from carousel.cli.common import set_threads
    from carousel.jobs.demo import run

    set_threads(threads)
    run(output, Console())


def main() -> None:
    """The entry point."""
    try:
        app()
    except (JobError, CellError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped.", code=130)
    except BrokenPipeError:
        # the reader of our output (head, say) has enough; nothing more must be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def fail(message: str, code: int = 2) -> None:
    """Say what is wrong and leave."""
    Console(stderr=True, soft_wrap=True).print("[bold red]carousel:[/bold red] ", end="")
    print(message, file=sys.stderr)
    sys.exit(code)
