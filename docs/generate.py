"""Writes what the registry, the public list and the last benchmark say into the documents: `make docs`.

A generated part stands between `<!-- name: ... -->` and `<!-- /name -->`; docs/api.md, docs/counts.md,
docs/results.md and all of docs/cells are generated whole. `python docs/generate.py docs/results.md` writes that one.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import carousel
from carousel.pages import Speeds, html_index, html_page, read_speeds
from carousel.reproduce.page import page as results_page

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "docs" / "cells"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
THEMES = ("light", "dark")


def documents() -> dict[Path, str]:
    """Each document that has generated parts, as it should be."""
    readme, benchmarks = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
    return {
        readme: put(put(readme.read_text(), "cells", table_of_cells()), "benchmark", benchmark()),
        benchmarks: put(benchmarks.read_text(), "marks", table_of_marks()),
        ROOT / "docs" / "api.md": api(),
        ROOT / "docs" / "counts.md": counts(),
        ROOT / "docs" / "results.md": results_page(ROOT / "results"),
        **charts(),
        **pages_of_cells(),
    }


def put(text: str, name: str, content: str) -> str:
    """The text with `content` between the marks of that name."""
    pattern = rf"(<!-- {name}:.*? -->\n).*?(<!-- /{name} -->)"
    assert re.search(pattern, text, re.DOTALL), f"there are no marks for {name}"
    return re.sub(pattern, lambda found: found[1] + content + "\n" + found[2], text, flags=re.DOTALL)


def table_of_cells() -> str:
    """The names by year, each linked to its page."""
    by_year: dict[int, list[str]] = {}
    for entry in carousel.cells.entries():
        by_year.setdefault(entry.year, []).append(f"[`{entry.name}`](docs/cells/{entry.name}.html)")
    rows = [f"| {year} | {', '.join(links)} |" for year, links in by_year.items()]
    return "\n".join(["| year | cells |", "|---|---|", *rows])


def pages_of_cells() -> dict[Path, str]:
    """A page for each cell, which links to those before and after it, and the table of all."""
    speeds, names = newest_speeds(), carousel.cells.names()
    found = {CELLS / "index.html": html_index(speeds)}
    for entry, before, after in zip(carousel.cells.entries(), ("", *names), (*names[1:], ""), strict=False):
        page = html_page(entry.cell, speeds, before=before, after=after, index=True)
        found[CELLS / f"{entry.name}.html"] = page
    return found


def newest_speeds() -> Speeds:
    """The last run of the benchmark of cells; nothing where there is none."""
    results = sorted((ROOT / "benchmarks" / "results").glob("cells-*.json"))
    return read_speeds(json.loads(results[-1].read_text())) if results else Speeds("", {})


def counts() -> str:
    """The numbers of parameters that papers state, and those of the networks that the tests build."""
    lines = [
        "# Numbers of parameters",
        "",
        "Made by docs/generate.py. A test builds each of these networks from the library's cells and counts. A number",
        "comes from *the paper*, which prints it; or is *derived* from sizes that the paper prints, beside the rounded",
        "number that it prints, if any; or from *memory*, number or sizes not being checked against the paper.",
        "",
        "| paper | network | cell | printed | number | origin | counted |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in importlib.import_module("published_networks").counts():
        cell = f"`{count.cell}`" if count.cell in carousel.cells.names() else count.cell
        numbers = f"{count.printed} | {count.exact:,} | {count.origin} | {count.counted():,}"
        lines.append(f"| {count.paper} | {count.network} | {cell} | {numbers} |")
    return "\n".join(lines) + "\n"


def api() -> str:
    """The public names, each with the first sentence of its docstring."""
    lines = ["# The public names", "", "Made by docs/generate.py. `help(carousel.name)` says the rest.", ""]
    for name in carousel.__all__:
        thing = getattr(carousel, name)
        first = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"- `carousel.{name}{signature(thing)}`: {first}")
    return "\n".join(lines) + "\n"


def signature(thing: object) -> str:
    """A function's argument names."""
    return f"({', '.join(inspect.signature(thing).parameters)})" if inspect.isfunction(thing) else ""


def benchmark() -> str:
    """The last full run: the drawing, and what was measured."""
    found = newest_results()
    if not found:
        return "Not measured yet."
    threads = most_threads(found)
    picture = (
        '<picture><source media="(prefers-color-scheme: dark)" srcset="docs/speed-dark.svg">'
        f'<img alt="Times as fast as torch.nn.LSTM, by shape, {threads} threads" src="docs/speed-light.svg"></picture>'
    )
    marks = module("marks")
    return "\n\n".join([picture, f"{module('report').where(found)} {marks.LEGEND}", marks.figures(found)])


def table_of_marks() -> str:
    """What is to be reached, and whether the last full run reached it."""
    found = newest_results()
    if not found:
        return "Not measured yet."
    report = module("results").target(found["about"]).with_suffix(".md").relative_to(ROOT)
    link = f"Every shape: [{report}](../{report})."
    return "\n\n".join([module("report").where(found), module("marks").table(found), link])


def charts() -> dict[Path, str]:
    """The drawings of the last full run, on light pages and on dark ones."""
    found = newest_results()
    if not found:
        return {}
    return {
        ROOT / "docs" / f"speed-{theme}.svg": module("chart").draw(found, most_threads(found), theme)
        for theme in THEMES
    }


def newest_results() -> Any:
    return module("results").newest()


def most_threads(found: Any) -> int:
    return max(row["threads"] for row in found["rows"])


def module(name: str) -> Any:
    """Of the benchmarks, which are found once the path is set."""
    return importlib.import_module(f"benchmarks.{name}")


def main(wanted: list[str]) -> None:
    """Write the documents, or only those that are named."""
    made = documents()
    CELLS.mkdir(exist_ok=True)
    for old in set(CELLS.iterdir()) - set(made):
        old.unlink()
    chosen = {Path(name).resolve() for name in wanted} or set(made)
    for path in chosen:
        path.write_text(made[path], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
