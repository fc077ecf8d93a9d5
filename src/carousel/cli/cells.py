"""``carousel cells`` and ``carousel cells show NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carousel.cli.common import print_json, read_sizes, registered
from carousel.jobs import JobError

app = typer.Typer(help="The memory cells that are there, and the page of each.")

WIDE = 140  # columns of a terminal: below, what a column is too narrow for stands under the title


InputSize = Annotated[int, typer.Option(min=1, help="Input features.")]
HiddenSize = Annotated[int, typer.Option(min=1, help="Hidden units.")]
Sizes = Annotated[list[str] | None, typer.Option("--size", help="A further size of a cell: NAME=NUMBER.")]


@app.callback(invoke_without_command=True)
def cells(
    context: typer.Context,
    input_size: InputSize = 64,
    hidden_size: HiddenSize = 128,
    size: Sizes = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """List the registered cells, oldest first, with their parameters for the given sizes."""
    if context.invoked_subcommand is not None:
        return
    import carousel
    from carousel.pages import facts_of

    sizes = {"input_size": input_size, "hidden_size": hidden_size, **read_sizes(size)}
    entries = list(carousel.cells.entries())
    _check_sizes(sizes, {name for entry in entries for name in entry.cell.sizes})
    found = [facts_of(entry.cell, **sizes) for entry in entries]
    if json:
        print_json([facts.as_data() for facts in found])
        return
    console = Console()
    console.print(_table(found, console.width))
    misfits = [facts.name for facts in found if facts.parameters is None]
    if misfits:
        console.print(f"– : the sizes do not fit {', '.join(misfits)}; `carousel cells show NAME` says why")
    console.print("[dim]carousel cells show NAME prints a cell's page[/dim]", highlight=False)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A registered cell, or FILE.py:NAME; options in brackets, 'slstm(heads=2)'.",
            metavar="NAME",
            autocompletion=registered,
        ),
    ],
    input_size: Annotated[int | None, typer.Option(min=1, help="Input features; 64 by default.")] = None,
    hidden_size: Annotated[int | None, typer.Option(min=1, help="Hidden units; 128 by default.")] = None,
    size: Sizes = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the equations in LaTeX, and nothing else.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the page to this HTML file.", metavar="FILE")] = None,
) -> None:
    """Print the page of a cell: what it is, its equations, its sources, and what is derived from it."""
    import carousel
    from carousel.graph import Cell
    from carousel.pages import html_page, text_page

    try:
        cell: Any = carousel.cells.load(name)
    except ValueError as error:
        raise JobError(str(error)) from None
    given = {"input_size": input_size, "hidden_size": hidden_size}
    sizes = {**{key: value for key, value in given.items() if value is not None}, **read_sizes(size)}
    _check_sizes(sizes, {*cell.sizes, *given})
    if latex:
        if not isinstance(cell, Cell):
            raise JobError(f"{cell.name} is no step on rows, so it has no LaTeX; its page shows its equations.")
        typer.echo(cell.latex())
    if html is not None:
        _write(html, html_page(cell, sizes=sizes))
        Console(stderr=True).print(f"written to {html}", highlight=False, soft_wrap=True)
    if not latex and html is None:
        typer.echo(text_page(cell, Console().width, **sizes))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise JobError(f"--html {path}: {error.strerror or error}; expected a file that can be written.") from None


def _check_sizes(given: dict[str, int], known: set[str]) -> None:
    """JobError for a size that no cell has, naming the closest."""
    from difflib import get_close_matches

    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise JobError(f"--size: there is no size {name!r}.{hint} Known are: {', '.join(sorted(known))}.")


def _table(found: list[Any], width: int) -> Table:
    """One row a cell; where the terminal is narrow, what it has stands in words under what it is."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True, overflow="fold")
    if width < WIDE:
        table.add_column("what it is\n[dim]year; states; gates; parameters[/dim]", overflow="fold")
        for facts in found:
            table.add_row(Text(facts.name, "cyan"), Text.assemble(facts.title, "\n", (_line(facts), "dim")))
        return table
    table.add_column("year")
    table.add_column("", ratio=1)
    table.add_column("states")
    table.add_column("gates", max_width=24)
    table.add_column("parameters", justify="right", no_wrap=True)
    for facts in found:
        states, gates = Text(", ".join(facts.states)), Text(_gates(facts))
        row = (str(facts.year), Text(facts.title), states, gates, Text(_parameters(facts)))
        table.add_row(Text(facts.name, "cyan"), *row)
    return table


def _line(facts: Any) -> str:
    """A cell in few words."""
    return f"{facts.year}; {', '.join(facts.states)}; {_gates(facts)}; {_parameters(facts)}"


def _gates(facts: Any) -> str:
    return "?" if facts.gates is None else ", ".join(facts.gates) or "–"


def _parameters(facts: Any) -> str:
    return "–" if facts.parameters is None else f"{facts.parameters:,}"
