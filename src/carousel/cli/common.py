"""What commands share."""

from __future__ import annotations

import json
from typing import Any

import typer

from carousel.jobs import JobError


def set_threads(threads: int | None) -> None:
    """How many threads PyTorch and the native engine use."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def registered(incomplete: str) -> list[str]:
    """The names of registered cells that begin so, for a shell to complete."""
    from carousel import cells

    return [name for name in cells.names() if name.startswith(incomplete)]


def print_json(value: Any) -> None:
    """One JSON object on standard output, and nothing else there."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def read_sizes(given: list[str] | None) -> dict[str, int]:
    """Sizes written as NAME=NUMBER. Raises JobError for anything else."""
    sizes = {}
    for one in given or ():
        name, equals, number = one.partition("=")
        if not equals or not number.isdigit() or not int(number):
            raise JobError(f"--size is {one!r}, expected NAME=NUMBER, such as proj_size=16.")
        sizes[name] = int(number)
    return sizes
