"""The rows of the table: the paper's figure, ours, and how they stand to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from carousel.reproduce.experiment import AS_PUBLISHED, CHANGED, TODAY, Experiment, Figure, Measure, Setting
from carousel.reproduce.statistics import BETTER, INSIDE, WORSE, Summary, summarise, verdict

HEAD = ("setting", "measure", "paper", "ours: mean ± deviation", "95 % interval of the mean", "trials", "verdict")
KINDS = {
    AS_PUBLISHED: "As published: the paper's own algorithm and settings, where known",
    CHANGED: "Changed: the paper's own algorithm, but for what the title says",
    TODAY: "Today: trained as one would now",
}  # fmt: skip
WORDS = {BETTER: "ours better", INSIDE: "inside", WORSE: "ours worse"}  # where the paper's figure lies


class Row(NamedTuple):
    """A measure of a setting."""

    setting: Setting
    quick: bool
    measure: Measure
    figure: Figure | None
    summary: Summary | None
    verdict: str | None  # None where there is nothing to compare

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEAD`."""
        s, measure = self.summary, self.measure
        paper = "–" if self.figure is None else f"{show(measure, self.figure.value)} ({_mark(self.figure)})"
        name = self.setting.name + (" (quick)" if self.quick else "")
        said = WORDS[self.verdict] if self.verdict else "–"
        if s is None:
            return (name, str(measure), paper, "no trial", "–", "–", said)
        ours = show(measure, s.mean) + (f" ± {show(measure, s.spread)}" if s.spread else "")
        interval = "–" if s.low is None or s.high is None else f"{show(measure, s.low)} to {show(measure, s.high)}"
        counted = str(s.trials) if s.counted == s.trials else f"{s.counted} of {s.trials}"
        return (name, str(measure), paper, ours, interval, counted, said)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        figure = None if self.figure is None else self.figure._asdict()
        summary = None if self.summary is None else self.summary._asdict()
        return {"setting": self.setting.name, "kind": self.setting.kind, "quick": self.quick,
                "measure": self.measure.name, "better": self.measure.better, "paper": figure, "ours": summary,
                "verdict": self.verdict}  # fmt: skip


def _mark(figure: Figure) -> str:
    return figure.mark + (f"; {figure.note}" if figure.note else "")


def rows(experiment: Experiment, entries: Sequence[dict[str, Any]]) -> list[Row]:
    """The rows of a file of results: each setting's measures that the paper prints or a trial has."""
    return [row for entry in entries for row in _rows_of(experiment, entry)]


def _rows_of(experiment: Experiment, entry: dict[str, Any]) -> Iterator[Row]:
    setting = experiment.setting(entry["setting"])
    for measure in experiment.measures:
        figure = setting.paper.get(measure.name)
        summary = summarise(measure, [trial.get(measure.name) for trial in entry["trials"]])
        if figure is not None or summary is not None:
            found = None
            if figure is not None:
                found = WORSE if summary is None else verdict(measure, figure, summary)
            yield Row(setting, entry["quick"], measure, figure, summary, found)


def explanations(experiment: Experiment, found: Sequence[Row]) -> list[str]:
    """Why ours is worse, a line for each setting in which it is."""
    lines: dict[tuple[str, bool], list[str]] = {}
    for row in found:
        if row.verdict == WORSE:
            lines.setdefault((row.setting.name, row.quick), []).append(row.measure.name)
    return [_explain(experiment, *key, measures) for key, measures in lines.items()]


def _explain(experiment: Experiment, name: str, quick: bool, measures: list[str]) -> str:
    why = [f"--quick cuts {experiment.quick.cut}."] if quick else []
    why += [experiment.setting(name).explanation or ("" if quick else "Not explained yet.")]
    return f"{name}{' (quick)' * quick} is worse in {' and '.join(measures)}. {' '.join(filter(None, why))}"


def show(measure: Measure, value: float) -> str:
    """A value as its measure is read.

    >>> show(Measure("sequences", "lower", "count"), 8440.2), show(Measure("solved", "higher", "share"), 0.97)
    ('8,440', '97 %')
    >>> show(Measure("loss", "lower"), 0.02039), show(Measure("loss", "lower"), 5.8e-5)
    ('0.02039', '5.8e-05')
    >>> show(Measure("sequences", "lower"), 45_688.65)
    '45,690'
    """
    if measure.kind == "share":
        return f"{100 * value:.3g} %"
    if measure.kind == "count":
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
    return f"{float(f'{value:.4g}'):,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.4g}"
