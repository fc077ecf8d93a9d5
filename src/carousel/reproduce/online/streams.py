"""Learning from streams that end at the first error: after each, or after a good one, the net is tested with weights
that stay, on streams that end in the same way.

Trials run side by side and do not wait for each other: while some learn, others are tested. A stream's end is known
only once its outputs are, so a window of steps is learned, and where a stream ended within it, it is learned again from
where the window began, in each trial up to that very step. How wide windows are changes nothing in the results.
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
NARROWEST, WIDEST = 32, 1024  # steps of a window
KEPT = "phase", "streams", "squares", "targets"
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


class End(NamedTuple):
    """Of each trial (N,): steps until its stream ends or the window does, whether it ended, and by an error."""

    taken: Indices
    ended: NDArray[np.bool_]
    wrong: NDArray[np.bool_]


class Reading:
    """The streams that trials read, to learn or in a test: how far each has come, and how long the last one was."""

    KEPT = "fresh", "count", "steps", "typical"

    def __init__(self, seeds: Sequence[int], purpose: int, draw: Draw):
        self.data = Endless(seeds, purpose, draw)
        self.fresh = np.ones(len(seeds), dtype=bool)  # whether the next step begins a stream
        self.count, self.steps = np.zeros(len(seeds), dtype=np.int64), np.zeros(len(seeds), dtype=np.int64)
        self.typical = np.full(len(seeds), NARROWEST, dtype=np.int64)

    def window(self, active: NDArray[np.bool_]) -> tuple[Piece, Indices]:
        """As many steps as the active trials' streams have about, and how many each trial may take of them."""
        steps = int(np.clip(np.median(self.typical[active]), NARROWEST, WIDEST))
        return self.data.window(steps), np.where(active, steps, 0)

    def advance(self, window: Piece, end: End) -> list[tuple[int, int]]:
        """Go on past what was taken; the trials whose streams ended, which begin new ones, and how long they were."""
        right = np.arange(len(window.done))[:, None] < end.taken - end.wrong
        self.count += (window.done & right).sum(axis=0)
        self.steps += end.taken
        self.data.go_on(end.taken)
        self.fresh = np.where(end.taken > 0, end.ended, self.fresh)
        finished = [(int(n), int(self.count[n])) for n in np.flatnonzero(end.ended)]
        self.typical = np.where(end.ended, self.steps, np.maximum(self.typical, self.steps))
        self.count[end.ended] = self.steps[end.ended] = 0
        for n, _ in finished:
            self.data.next_beginning(n)
        return finished

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
            if (self.phase == LEARNING).any():
                self._learn()
            if (self.phase == TESTING).any():
                self._test()
            self._report()
            if time.monotonic() - last > KEPT_EVERY:
                self._keep()
                last = time.monotonic()
        return [self._result(n) for n in range(len(self.phase))]

    def _learn(self) -> None:
        reading, before = self.learning, self.net.state_dict()
        window, lengths = reading.window(self.phase == LEARNING)
        end = self._end(reading, window, lengths, self._step(reading, window, lengths, learn=True), self.rules.limit)
        if (end.taken < lengths).any():
            self.net.load_state_dict(before)
            self._step(reading, window, end.taken, learn=True)
        for n, count in reading.advance(window, end):
            self.streams[n] += 1
            if self.rules.always or count >= self.rules.limit or self._given_up(n):
                self.phase[n], self.tested[n] = TESTING, []
                self.squares[n] = self.targets[n] = 0

    def _test(self) -> None:
        reading = self.testing
        window, lengths = reading.window(self.phase == TESTING)
        y = self._step(reading, window, lengths, learn=False)
        end = self._end(reading, window, lengths, y, self.rules.test_limit)
        seen = window.when & (np.arange(len(y))[:, None] < end.taken)
        squares = ((window.targets - y) ** 2).mean(axis=2) * seen
        self.squares = np.cumsum(np.vstack([self.squares, squares]), axis=0)[
            -1
        ]  # in order: the same bits in any window
        self.targets += seen.sum(axis=0)
        for n, count in reading.advance(window, end):
            self.tested[n].append(count)
            failed = count < self.rules.test_limit
            if len(self.tested[n]) == self.rules.tests:
                passed = min(self.tested[n]) >= self.rules.test_limit
                self.phase[n] = DONE if passed or self._given_up(n) else LEARNING
            elif failed and not self._given_up(n):  # one is enough to know that the test is not passed
                self.phase[n] = LEARNING

    def _given_up(self, n: int) -> bool:
        return bool(self.streams[n] >= self.rules.streams)

    def _step(self, reading: Reading, window: Piece, lengths: Indices, *, learn: bool) -> Numbers:
        """Each net takes as many steps of the window; the outputs (T, N, K)."""
        starts = window.resets.copy()
        starts[0] |= reading.fresh
        inputs, begins, steps = map(torch.from_numpy, (window.inputs, starts, lengths))
        if not learn:
            return self.net.predict(inputs, begins, steps).double().numpy()
        when = None if window.when.all() else torch.from_numpy(window.when)
        return self.net.learn(inputs, torch.from_numpy(window.targets), when, begins, steps).double().numpy()

    def _end(self, reading: Reading, window: Piece, lengths: Indices, y: Numbers, limit: int) -> End:
        wrong = window.when & ~(np.abs(window.targets - y) <= self.rules.tolerance).all(axis=2)
        over = wrong | (reading.count + window.done.cumsum(axis=0) >= limit)
        over &= np.arange(len(over))[:, None] < lengths
        first, ended = over.argmax(axis=0), over.any(axis=0)
        return End(np.where(ended, first + 1, lengths), ended, ended & wrong[first, np.arange(len(first))])

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
