"""One style for what jobs tell: a dim head, and what there is to say."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console


def line(console: Console) -> Callable[[str, str], None]:
    """``say(head, text)``, a line on the console."""

    def say(head: str, text: str) -> None:
        console.print(f"[dim]{head:<11}[/dim]", end="")
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    return say
