"""Pieces of HTML, and the look that all pages have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #59636f; --line: #d9dee5; --paper: #ffffff; --shade: #f4f6f9;
  --link: #1c6a8c; --gate: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adba; --line: #333c48; --paper: #14181f;
  --shade: #1d232c; --link: #74c3e3; --gate: #f0a06a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
body.index { max-width: 120rem; }
a { color: var(--link); }
nav { display: flex; justify-content: space-between; gap: 1rem; font-size: 0.9rem; }
h1 { margin: 1rem 0 0.2rem; font-size: 1.9rem; }
h1 small { color: var(--soft); font-weight: normal; font-size: 1.2rem; }
h2 { margin: 2rem 0 0.6rem; padding-bottom: 0.2rem; border-bottom: 1px solid var(--line); font-size: 1.15rem; }
p { margin: 0.5rem 0; }
.title { font-size: 1.15rem; }
.sources, .notes, .key, summary { color: var(--soft); font-size: 0.92rem; }
.wide { overflow-x: auto; padding: 0.4rem 0; }
math { font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", STIXMath, math; font-size: 1.2rem; }
math[display="block"] { display: block math; width: max-content; text-align: left; }
mtd { padding-top: 0.22em; padding-bottom: 0.22em; }
pre { overflow-x: auto; padding: 0.8rem 1rem; background: var(--shade); border-radius: 6px; line-height: 1.4; }
pre, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.88rem; }
h1 code { font-size: inherit; }
table { border-collapse: collapse; font-size: 0.92rem; }
th, td { padding: 0.32rem 0.7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th, thead th.number { vertical-align: bottom; white-space: normal; }
.rows th { width: 13rem; }
.index table { font-size: 0.86rem; }
.index th, .index td { padding: 0.3rem 0.45rem; }
.index td:nth-child(3) { min-width: 22rem; }
.index td:nth-child(10) { min-width: 9rem; }
td small { color: var(--soft); font-size: inherit; }
.number small { white-space: normal; }
.key .state { color: var(--link); }
.key .gate { color: var(--gate); }
.wide > svg { max-width: 100%; height: auto; }
@media (max-width: 40rem) { .rows th, .rows td { display: block; width: auto; border: 0; padding: 0.1rem 0; }
  .rows tr { display: block; padding: 0.4rem 0; border-bottom: 1px solid var(--line); } }
"""

LINK = re.compile(r"\b(doi:10\.[^\s;]+|arXiv:\d{4}\.\d{4,5}(?:v\d+)?|https?://[^\s;]+)|`([^`]+)`")
CLOSING = ".,:)"


def text(value: str) -> str:
    """Text as HTML."""
    return escape(value, quote=False)


def inline(value: str) -> str:
    """A docstring's words as HTML: names in backquotes set as code, papers linked.

    >>> inline("Elman, 1990, doi:10.1207/x.")
    'Elman, 1990, <a href="https://doi.org/10.1207/x">doi:10.1207/x</a>.'
    """
    parts, end = [], 0
    for found in LINK.finditer(value):
        parts.append(text(value[end : found.start()]))
        end = found.end()
        parts.append(f"<code>{text(found[2])}</code>" if found[2] else _link(found[1]))
    return "".join([*parts, text(value[end:])])


def _link(given: str) -> str:
    name = given.rstrip(CLOSING)
    if name.count("(") > name.count(")"):
        name = given[: len(name) + 1]  # a bracket that belongs to the name
    start = {"doi": "https://doi.org/", "arXiv": "https://arxiv.org/abs/"}.get(name.partition(":")[0])
    target = start + name.partition(":")[2] if start else name
    return f'<a href="{escape(target)}">{text(name)}</a>{text(given[len(name) :])}'


def rows(entries: Mapping[str, str]) -> str:
    """A table of labels and what belongs to each, without those that have nothing."""
    lines = "\n".join(f"<tr><th>{text(name)}</th><td>{value}</td></tr>" for name, value in entries.items() if value)
    return f'<table class="rows">\n{lines}\n</table>'


def table(head: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table whose columns `numbers` are set to the right; cells are HTML."""
    classes = ['class="number"' if k in numbers else "" for k in range(len(head))]
    top = "".join(f"<th {kind}>{name}</th>".replace(" >", ">") for name, kind in zip(head, classes, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(f"<td {c}>{v}</td>".replace(" >", ">", 1) for v, c in zip(line, classes, strict=True))
        + "</tr>"
        for line in lines
    )
    return f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def document(title: str, body: str, kind: str = "") -> str:
    """A whole HTML file."""
    opened = f'<body class="{kind}">' if kind else "<body>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
{opened}
{body}
</body>
</html>
"""
