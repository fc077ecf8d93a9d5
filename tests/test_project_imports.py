"""Imports point down only, and heavy libraries wait until a job needs them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "carousel"
LEVELS = (
    "errors",
    "_core",
    "graph",
    "cells",
    "engines",
    "space",
    "layers",
    "nets",
    "pages",
    "watch",
    "labelling",
    "train",
    "info",
    "jobs",
    "reproduce",
    "cli",
)
HEAVY = (
    "lightning",
    "pandas",
    "pyarrow",
    "matplotlib",
    "statsmodels",
    "tensorboard",
    "rich",
    "typer",
    "polars",
    "torch._dynamo",
)
MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.stem not in ("__init__", "__main__"))


def part(path: Path) -> str:
    """The part of the house that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of the house that a file imports, at its top or inside functions."""
    found = set()
    package = ["carousel", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("carousel.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    assert part(path) in LEVELS, f"{part(path)} has no place in the order of the parts"
    for other in imported(path):
        assert other in LEVELS, f"{path} imports carousel.{other}, which is no part: name the part it comes from"
        assert LEVELS.index(other) <= LEVELS.index(part(path)), f"{part(path)} imports {other}, which stands above it"


def test_the_package_imports_nothing_heavy() -> None:
    code = f"import carousel, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
