"""What an experiment is: a paper's protocol, the figures that it printed, and a function that runs trials."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from carousel.jobs import JobError
from carousel.reproduce.work import Trial, Work

VERIFIED, DERIVED, REMEMBERED = "verified", "derived", "as remembered"
AS_PUBLISHED, CHANGED, TODAY = "as published", "changed", "today"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Figure(NamedTuple):
    """A number that a paper gives, and how sure we are that it does.

    The mark is "verified" (read in the paper, or in its authors' code), "derived" (by arithmetic from verified ones) or
    "as remembered" (not verified). The note says what the paper adds, such as its range.
    """

    value: float
    mark: str = VERIFIED
    note: str = ""


class Measure(NamedTuple):
    """A number of each trial that is compared; a trial that lacks it (never solved, say) is counted as lacking it.

    `kind` says how it is read: as a "number", as a "count" of things, or as a "share" from 0 to 1, shown in per cent;
    `unit` what it is counted in.
    """

    name: str
    better: Literal["lower", "higher", "neither"]
    kind: Literal["number", "count", "share"] = "number"
    unit: str = ""

    def __str__(self) -> str:
        return self.name + (f", {self.unit}" if self.unit else "")


class Axes(NamedTuple):
    """What the axes of a curve are called, and which of them is logarithmic."""

    x: str
    y: str
    logarithmic: Literal["", "x", "y"] = ""


@dataclass(frozen=True, eq=False)
class Setting:
    """One row of the paper's table, or the same task trained as one would today.

    Args:
        name: of letters, digits and ``_ . -``, for the command line.
        title: what it is, in few words.
        options: what the experiment's function gets, by keyword; plain numbers, texts and lists.
        kind: AS_PUBLISHED, the paper's own algorithm and settings; CHANGED, the same but for what the title
            says; or TODAY.
        paper: the paper's figures by measure.
        trials: how many the paper ran, where it is not the experiment's number.
        together: how many trials `run` gets at once, where it is not the experiment's number.
        quick: the options that --quick changes.
        explanation: why ours is worse, by measurement; shown where it is.
    """

    name: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = AS_PUBLISHED
    paper: Mapping[str, Figure] = field(default_factory=dict)
    trials: int | None = None
    together: int | None = None
    quick: Mapping[str, Any] = field(default_factory=dict)
    explanation: str = ""


class Quick(NamedTuple):
    """What ``--quick`` runs: how many trials, of which settings (none named: of all), and in words what it cuts."""

    trials: int
    cut: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Experiment:
    """A paper's experiment.

    Args:
        name: as the command line calls it.
        title, citation: what it shows, and where it was published.
        run: gets a `Work` (seeds, progress, a place for its state, data) and a setting's options by keyword; returns
            one trial a seed: a flat dictionary of numbers, and of curves as lists of (x, y).
        measures: the numbers of a trial that are compared, the main one first.
        settings: its rows.
        trials: how many the paper ran of each.
        quick: what ``--quick`` runs.
        curves: the curves that trials hold, by name.
        needs: the files that it reads, relative to ``--data``.
        together: how many trials `run` gets at once; None for all of a setting, for nets that learn side by side.
    """

    name: str
    title: str
    citation: str
    run: Callable[..., list[Trial]]
    measures: Sequence[Measure]
    settings: Sequence[Setting]
    trials: int
    quick: Quick
    curves: Mapping[str, Axes] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    together: int | None = 1

    def __post_init__(self) -> None:
        names = [setting.name for setting in self.settings]
        known = {measure.name for measure in self.measures}
        assert len(set(names)) == len(names) and all(NAME.fullmatch(name) for name in (self.name, *names)), names
        assert set(self.quick.settings) <= set(names), self.quick
        for setting in self.settings:
            assert set(setting.paper) <= known, f"{self.name}, {setting.name}: a figure of no measure"
            assert setting.kind in (AS_PUBLISHED, CHANGED, TODAY), setting.kind
            assert set(setting.quick) <= set(setting.options), f"{self.name}, {setting.name}: quick changes no option"

    def setting(self, name: str) -> Setting:
        """The setting of that name. Raises JobError, naming the closest, where there is none."""
        names = [setting.name for setting in self.settings]
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise JobError(f"{self.name} has no setting {name!r}.{hint} It has: {', '.join(names)}.")
        return self.settings[names.index(name)]


__all__ = ["Axes", "Experiment", "Figure", "Measure", "Quick", "Setting", "Trial", "Work"]
