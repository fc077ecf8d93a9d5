"""What commands share."""

from __future__ import annotations

import json
from typing import Any

import typer


def set_threads(threads: int | None) -> None:
    """How many threads PyTorch and the native engine use."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def print_json(value: Any) -> None:
    """One JSON object on standard output, and nothing else there."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))
