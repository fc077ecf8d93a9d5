"""The page of results, made of the stored files of results and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from carousel.reproduce import experiments, record
from carousel.reproduce.experiment import AS_PUBLISHED, Experiment
from carousel.reproduce.statistics import WORSE
from carousel.reproduce.table import HEAD, KINDS, Row, explanations, rows

INTRODUCTION = """\
# Results

Made by docs/generate.py from the files in results/, each of which `carousel reproduce NAME` wrote; no number of
ours in the tables was typed by hand. What explanations tell of other runs is stored nowhere else. The papers'
figures stand in the experiments' files with their mark: *verified* (read in the paper or in its authors' code),
*derived* (by arithmetic from verified ones) or *as remembered* (not verified). *As published* is the paper's
own algorithm with its settings, *changed* the same but for what a title says, which tells what ours lacks;
*today* is another way of training. The verdict: the paper's figure lies
*inside* our interval of the mean (of one trial: equals it), or outside, so that *ours* is *better* or *worse*.
Intervals are Student's; those of shares of solved trials are Wilson's. Rows marked (quick) come from `--quick`,
which cuts the experiment as is said there.
"""


def page(folder: Path) -> str:
    """The whole page, of the files of results in the folder."""
    found = {one: record.read(folder / f"{one.name}.json") for one in experiments()}
    parts = [INTRODUCTION, _overview(found)]
    parts += [_section(one, entries, folder) for one, entries in found.items() if entries]
    if missing := [f"`{one.name}`" for one, entries in found.items() if not entries]:
        parts.append(f"Not run yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _overview(found: dict[Experiment, list[record.Entry]]) -> str:
    """One line an experiment: how many figures as published, and in how many ours is as good."""
    lines = ["| experiment | figures compared, as published | ours as good or better | worse | run |", f"|{'---|' * 5}"]
    for one, entries in found.items():
        if not entries:
            continue
        chosen = _fullest(entries)
        compared = [r for r in rows(one, chosen) if r.verdict and r.setting.kind == AS_PUBLISHED]
        worse = sum(row.verdict == WORSE for row in compared)
        quick = {entry["quick"] for entry in chosen}
        how = "quick and full" if len(quick) > 1 else "quick" if quick == {True} else "full"
        link = f"[{one.title}](#{_anchor(one.title)})"
        lines.append(f"| {link} | {len(compared)} | {len(compared) - worse} | {worse} | {how} |")
    return "\n".join(lines) + "\n"


def _fullest(entries: Sequence[record.Entry]) -> list[record.Entry]:
    """Of a setting run in full and quick, the full one."""
    full = {one["setting"] for one in entries if not one["quick"]}
    return [one for one in entries if not one["quick"] or one["setting"] not in full]


def _section(one: Experiment, entries: Sequence[record.Entry], folder: Path) -> str:
    entries = _fullest(entries)
    found = rows(one, entries)
    parts = [f"## {one.title}", f"`{one.name}`. {one.citation}"]
    for kind, title in KINDS.items():
        chosen = [row for row in found if row.setting.kind == kind]
        if chosen:
            parts += [f"**{title}**", _table(chosen)]
    parts += [line.replace("|", "\\|") for line in explanations(one, found)]
    if any(entry["quick"] for entry in entries):
        parts.append(f"`--quick` cuts {one.quick.cut}.")
    parts.append("\n".join(f"- {line}" for line in _sources(entries)))
    if (folder / f"{one.name}.png").exists():
        parts.append(f"![{one.title}](../{folder.name}/{one.name}.png)")
    return "\n\n".join(parts) + "\n"


def _table(found: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in found:
        name, *cells = row.cells()
        where = f"**{cells[-1]}**" if row.verdict == WORSE else cells[-1]
        lines.append(f"| {' | '.join([f'{name}: {row.setting.title}', *cells[:-1], where])} |".replace("\n", " "))
    return "\n".join(lines)


def _sources(entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What was run where and when; settings of one call in one line."""
    seconds: dict[tuple[str, str], float] = {}
    for one in entries:
        machine, versions = one["machine"], one["versions"]
        threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        where = f"{machine['processor']}, {threads}, {one['date']}, PyTorch {versions['torch']}"
        key = (one["command"], where)
        seconds[key] = seconds.get(key, 0.0) + one["seconds"]
    for (command, where), spent in seconds.items():
        yield f"`{command}`: {spent:,.0f} s, {where}"


def _anchor(title: str) -> str:
    """As GitHub makes them of headings."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")
