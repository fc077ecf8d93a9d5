"""Prefix beam search in plain Python: what the core does, as the papers write it.

Legend: T frames, K labels with the blank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from carousel.labelling.language_model import LanguageModel

Prefix = tuple[int, ...]
Path = tuple[float, Prefix]  # the log-probability of the best path, and the frames at which its labels begin
NO_PATH: Path = (-math.inf, ())


@dataclass
class Entry:
    """The log-probability of all paths of a prefix that end in the blank, and in its last label; and the best ones."""

    blank: float = -math.inf
    label: float = -math.inf
    best_blank: Path = NO_PATH
    best_label: Path = NO_PATH

    @property
    def total(self) -> float:
        return log_add(self.blank, self.label)

    @property
    def best(self) -> Path:
        return max(self.best_blank, self.best_label, key=lambda path: path[0])


@dataclass
class PlainBeam:
    """One search."""

    blank: int
    beam: int
    least: float
    model: LanguageModel | None
    weight: float
    bonus: float
    space: int | None
    settle: int | None = None
    entries: dict[Prefix, Entry] = field(default_factory=lambda: {(): Entry(blank=0.0, best_blank=(0.0, ()))})
    known: dict[Prefix, tuple[float, Any]] = field(default_factory=dict)  # the model's part of the score, its state
    frame: int = 0

    def feed(self, log_probs: Tensor) -> None:
        for y in log_probs.tolist():
            self._step(y)

    def best(self) -> tuple[Prefix, Prefix, int]:
        """The best transcript so far, its times, and how many of its labels all others begin with."""
        labels = next(iter(self.entries))
        stable = next(n for n in range(len(labels), -1, -1) if all(other[:n] == labels[:n] for other in self.entries))
        return labels, self.entries[labels].best[1], stable

    def finish(self, count: int) -> list[tuple[Prefix, float, float, Prefix]]:
        """Labels, score, log-probability and times of the best `count`."""
        found = []
        for labels, entry in self.entries.items():
            value, state = self._of_model(labels)
            end = self.weight * self.model.end(state) if self.model else 0.0
            found.append((labels, entry.total + value + end, entry.total, entry.best[1]))
        return sorted(found, key=lambda one: -one[1])[:count]

    def _step(self, y: list[float]) -> None:
        made: dict[Prefix, Entry] = {}
        for labels, entry in self.entries.items():
            stays, last = made.setdefault(labels, Entry()), labels[-1] if labels else None
            stays.blank = entry.total + y[self.blank]
            stays.best_blank = entry.best[0] + y[self.blank], entry.best[1]
            if last is not None:
                _add(stays, entry.label + y[last], (entry.best_label[0] + y[last], entry.best_label[1]))
            for k, value in enumerate(y):
                tried = k != self.blank and (value >= self.least or (*labels, k) in self.entries)
                if not tried:
                    continue
                total, (log_prob, times) = (entry.blank, entry.best_blank) if k == last else (entry.total, entry.best)
                path = log_prob + value, (*times, self.frame)
                _add(made.setdefault((*labels, k), Entry()), total + value, path)
        scores = {labels: entry.total + self._of_model(labels)[0] for labels, entry in made.items()}
        kept = sorted((labels for labels in made if scores[labels] > -math.inf), key=lambda labels: -scores[labels])
        self.entries = {labels: made[labels] for labels in kept[: self.beam]}
        self.frame += 1
        if self.settle is not None:
            labels, times, _ = self.best()
            final = labels[: sum(t < self.frame - self.settle for t in times)]
            self.entries = {own: entry for own, entry in self.entries.items() if own[: len(final)] == final}

    def _of_model(self, labels: Prefix) -> tuple[float, Any]:
        if labels not in self.known:
            self.known[labels] = self._ask(labels)
        return self.known[labels]

    def _ask(self, labels: Prefix) -> tuple[float, Any]:
        if not labels:
            return 0.0, self.model.start() if self.model else None
        value, state = self._of_model(labels[:-1])
        unit = self.space is None or (labels[-1] != self.space and (len(labels) == 1 or labels[-2] == self.space))
        log_prob, state = self.model.score(state, labels[-1]) if self.model else (0.0, None)
        return value + self.weight * log_prob + self.bonus * unit, state


def _add(entry: Entry, log_prob: float, path: Path) -> None:
    entry.label = log_add(entry.label, log_prob)
    entry.best_label = max(entry.best_label, path, key=lambda one: one[0])


def log_add(a: float, b: float) -> float:
    """ln(exp a + exp b)."""
    a, b = max(a, b), min(a, b)
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
