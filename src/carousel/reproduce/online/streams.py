"""Learning from streams that end at the first error: after each, or after a good one, the net is tested with weights
that stay, on streams that end in the same way.

Trials run side by side and do not wait for each other: while some learn, others are tested. They go on by windows of
steps. After an error a net rests to where the next stream may begin, or to the window's end if it is to be tested. How
wide windows are changes nothing in the results.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from carousel.reproduce.online.endless import Draw, Endless, Piece
from carousel.reproduce.online.lanes import KEPT_EVERY, LEARN, TEST
from carousel.reproduce.work import Trial, Work

LEARNING, TESTING, DONE = range(3)
NARROWEST, LONG, WIDEST = 32, 256, 1024  # steps of a window for one stream
MANY = 1024  # and for several
KEPT = "phase", "streams", "squares", "targets"
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Rules(NamedTuple):
    """How streams end, and what is asked of a net.

    Attributes:
        tolerance: a stream ends at the first step where an output is off by more.
        limit: or where so many of what is counted were completed; streams to learn from.
        test_limit: the same of a test.
        tests: how many streams a test has; all must reach the limit.
        always: whether a net is tested after each stream, or after one that reached the limit alone.
        streams: after so many a trial is given up.
    """

    tolerance: float
    limit: int
    test_limit: int
    tests: int
    always: bool
    streams: int


class Taken(NamedTuple):
    """Of a window's steps (T, N): those that nets took, those of them that were wrong, and that completed one more."""

    steps: Flags
    wrong: Flags
    done: Flags

    @property
    def ends(self) -> Indices:
        """One past the last step that each net took, (N,)."""
        return np.where(self.steps.any(axis=0), len(self.steps) - self.steps[::-1].argmax(axis=0), 0)


class Ended(NamedTuple):
    """Of each trial (N,), how many streams ended, and how much the last of them had completed."""

    streams: Indices
    completed: Indices


class Reading:
    """The streams that trials read, to learn or in a test: how far each has come, and how long the last one was."""

    KEPT = "fresh", "count", "steps", "typical"

    def __init__(self, seeds: Sequence[int], purpose: int, draw: Draw):
        self.data = Endless(seeds, purpose, draw)
        self.fresh = np.ones(len(seeds), dtype=bool)  # whether the next step begins a stream
        self.count, self.steps = np.zeros(len(seeds), dtype=np.int64), np.zeros(len(seeds), dtype=np.int64)
        self.typical = np.full(len(seeds), NARROWEST, dtype=np.int64)

    def paces(self, active: Flags) -> list[Flags]:
        """The active trials, those with short streams apart from those with long ones, for windows of their own."""
        short = self.typical < LONG
        return [trials for trials in (active & short, active & ~short) if trials.any()]

    def window(self, left: Indices, limit: int) -> tuple[Piece, Indices]:
        """The next steps, and how many of them each trial may take: no more than `left` streams, and none of them past
        its limit."""
        several, active = left.max() > 1, left > 0
        steps = MANY if several else int(np.clip(np.median(self.typical[active]), NARROWEST, WIDEST))
        window = self.data.window(steps, active)
        full = self.count + window.done.cumsum(axis=0) >= limit
        lengths = np.where(active, np.where(full.any(axis=0), full.argmax(axis=0) + 1, steps), 0)
        window = Piece(*(row[: lengths.max()] for row in window))
        window.begins[0] = False  # what begins here is no stream after another
        return window._replace(begins=window.begins & (window.begins.cumsum(axis=0) < left)), lengths

    def advance(self, taken: Taken, limit: int) -> Ended:
        """Go on past what was taken. Trials whose stream ended with that go on where the next one may begin."""
        errors, number = taken.wrong.sum(axis=0), taken.wrong.cumsum(axis=0) - taken.wrong  # of streams, in the window
        now, last = number == errors, number == errors - 1
        steps, count = (taken.steps & now).sum(axis=0), (taken.done & now).sum(axis=0) + np.where(errors, 0, self.count)
        failed = (taken.done & last).sum(axis=0) + np.where(errors == 1, self.count, 0)
        full = count >= limit
        over = full | ((errors > 0) & (steps == 0))
        self.data.go_on(taken.ends)
        for n in np.flatnonzero(over):
            self.data.next_beginning(int(n))
        self.steps = steps + np.where(errors, 0, self.steps)
        self.typical = np.where(over, taken.steps.sum(axis=0), np.maximum(self.typical, self.steps))
        self.fresh = np.where(taken.steps.any(axis=0), over, self.fresh)
        self.count, self.steps = np.where(over, 0, count), np.where(over, 0, self.steps)
        return Ended(errors + full, np.where(full, count, failed))

    def state(self) -> dict[str, Any]:
        """What to keep in order to go on."""
        return {name: torch.from_numpy(getattr(self, name)) for name in self.KEPT} | {"data": self.data.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was kept."""
        for name in self.KEPT:
            setattr(self, name, state[name].numpy().copy())
        self.data.restore(state["data"])


class Streams:
    """Trials that learn from streams until each has solved its task, or for ``rules.streams`` of them.

    Args:
        work: seeds, progress, and where to keep the state.
        net: `carousel.Online` with one net a seed.
        draw: makes pieces of data.
        rules: how streams end.
    """

    def __init__(self, work: Work, net: Any, draw: Draw, rules: Rules):
        self.work, self.net, self.rules = work, net, rules
        self.learning, self.testing = Reading(work.seeds, LEARN, draw), Reading(work.seeds, TEST, draw)
        trials = len(work.seeds)
        self.phase = np.full(trials, LEARNING)
        self.streams = np.zeros(trials, dtype=np.int64)
        self.tested: list[list[int]] = [[] for _ in work.seeds]  # how long the streams of the test at hand were
        self.squares, self.targets = np.zeros(trials), np.zeros(trials)

    def run(self) -> list[Trial]:
        """Learn and test until all trials are done."""
        self._resume()
        last = time.monotonic()
        while (self.phase != DONE).any():
            for trials in self.learning.paces(self.phase == LEARNING):
                self._learn(trials)
            for trials in self.testing.paces(self.phase == TESTING):
                self._test(trials)
            self._report()
            if time.monotonic() - last > KEPT_EVERY:
                self._keep()
                last = time.monotonic()
        return [self._result(n) for n in range(len(self.phase))]

    def _learn(self, trials: Flags) -> None:
        left = np.where(self.rules.always, 1, self.rules.streams - self.streams)
        window, lengths = self.learning.window(np.where(trials, left, 0), self.rules.limit)
        taken, _ = self._step(self.learning, window, lengths, learn=True)
        ended = self.learning.advance(taken, self.rules.limit)
        self.streams += ended.streams
        for n in np.flatnonzero(ended.streams):
            if self.rules.always or ended.completed[n] >= self.rules.limit or self._given_up(n):
                self.phase[n], self.tested[n] = TESTING, []
                self.squares[n] = self.targets[n] = 0

    def _test(self, trials: Flags) -> None:
        window, lengths = self.testing.window(trials.astype(np.int64), self.rules.test_limit)
        taken, y = self._step(self.testing, window, lengths, learn=False)
        seen = window.when & taken.steps
        squares = ((window.targets - y) ** 2).mean(axis=2) * seen
        self.squares = np.vstack([self.squares, squares]).cumsum(axis=0)[-1]  # in order: the same bits in any window
        self.targets += seen.sum(axis=0)
        ended = self.testing.advance(taken, self.rules.test_limit)
        for n in np.flatnonzero(ended.streams):
            self.tested[n].append(int(ended.completed[n]))
            failed = ended.completed[n] < self.rules.test_limit
            if len(self.tested[n]) == self.rules.tests:
                passed = min(self.tested[n]) >= self.rules.test_limit
                self.phase[n] = DONE if passed or self._given_up(n) else LEARNING
            elif failed and not self._given_up(n):  # one is enough to know that the test is not passed
                self.phase[n] = LEARNING

    def _given_up(self, n: Any) -> bool:
        return bool(self.streams[n] >= self.rules.streams)

    def _step(self, reading: Reading, window: Piece, lengths: Indices, *, learn: bool) -> tuple[Taken, Numbers]:
        """Each net takes so many steps of the window, unless it rests; the outputs (T, N, K)."""
        starts = window.resets.copy()
        starts[0] |= reading.fresh
        given = {"starts": starts, "lengths": lengths, "targets": window.targets, "begins": window.begins}
        if not window.when.all():
            given["when"] = window.when
        step = self.net.learn if learn else self.net.predict
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        y = step(torch.from_numpy(window.inputs), **tensors, tolerance=self.rules.tolerance).numpy()
        steps = self.net.taken.numpy()
        wrong = steps & window.when & ~(np.abs(window.targets - y) <= self.rules.tolerance).all(axis=2)
        return Taken(steps, wrong, window.done & steps & ~wrong), y

    def _result(self, n: int) -> Trial:
        found: Trial = {"solved": int(min(self.tested[n]) >= self.rules.test_limit)}
        if found["solved"]:
            found["streams"] = int(self.streams[n])
        if self.targets[n]:
            found["root mean square"] = float(np.sqrt(self.squares[n] / self.targets[n]))
        return found | {"test length": float(np.mean(self.tested[n]))}

    def _resume(self) -> None:
        state = self.work.load()
        if state is None:
            return
        self.net.load_state_dict(state["net"])
        self.learning.restore(state["learning"])
        self.testing.restore(state["testing"])
        self.tested = state["tested"]
        for name in KEPT:
            setattr(self, name, state[name].numpy().copy())

    def _keep(self) -> None:
        kept = {name: torch.from_numpy(getattr(self, name)) for name in KEPT}
        readings = {"learning": self.learning.state(), "testing": self.testing.state()}
        self.work.save({"net": self.net.state_dict(), "tested": self.tested, **readings, **kept})

    def _report(self) -> None:
        done = np.where(self.phase == DONE, 1.0, self.streams / self.rules.streams)
        says = f"{int(self.streams.min()):,} to {int(self.streams.max()):,} streams, {(self.phase == DONE).sum()} done"
        self.work.progress(float(done.mean()), says)
