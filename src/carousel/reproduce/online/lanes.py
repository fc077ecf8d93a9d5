"""The trials of one setting, nets that learn side by side, each from sequences of its own, until each is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carousel.reproduce.online.sequences import Sequences, together
from carousel.reproduce.work import Trial, Work

LEARN, TEST, WEIGHTS, SETS = range(4)  # what a trial's random numbers are for
Draw = Callable[[np.random.Generator, int], Sequences]
Learned = tuple[Sequences, NDArray[np.float64]] | None  # a trial's sequences and its outputs at their targets
KEPT_EVERY = 60.0  # seconds


def stream(seed: int, purpose: int, *part: int) -> np.random.Generator:
    """Random numbers of a trial for one purpose, the same whatever else has been drawn."""
    return np.random.default_rng([seed, purpose, *part])


class Lanes:
    """Nets that learn side by side, one a trial, from the same number of sequences, though each from its own.

    Args:
        work: seeds, progress, and where to keep the state.
        net: `carousel.Online` with one net a seed.
        draw: makes sequences of the task from random numbers; one for all trials, or one each.
        chunk: sequences that are learned between two looks at the trials.
        limit: sequences after which trials are given up.
    """

    def __init__(self, work: Work, net: Any, draw: Draw | Sequence[Draw], *, chunk: int, limit: int):
        self.work, self.net, self.chunk, self.limit = work, net, chunk, limit
        self.draw = [draw] * len(work.seeds) if callable(draw) else list(draw)
        self.trials: list[Trial] = [{"solved": 0} for _ in work.seeds]
        self.active = list(range(len(work.seeds)))
        self.seen = 0
        self.kept: dict[str, Any] = {}  # what the criterion wants to be kept beside

    def learn(self) -> Iterator[list[Learned]]:
        """Learn chunk by chunk while a trial is active: the sequences of each, and the outputs as it learned."""
        last = time.monotonic()
        while self.active and self.seen < self.limit:
            self.before = self.net.state_dict()
            yield self._learn(self._draw(self.seen // self.chunk))
            self.seen += self.chunk
            self._report()
            if time.monotonic() - last > KEPT_EVERY:
                self.keep()
                last = time.monotonic()

    def resume(self) -> bool:
        """Take up what an interrupted run left; whether there was something."""
        state = self.work.load()
        if state is None:
            return False
        self.net.load_state_dict(state["net"])
        self.trials, self.active, self.seen, self.kept = (state[k] for k in ("trials", "active", "seen", "kept"))
        return True

    def keep(self) -> None:
        """Keep everything, for `resume`."""
        self.work.save(
            {
                "net": self.net.state_dict(),
                "trials": self.trials,
                "active": self.active,
                "seen": self.seen,
                "kept": self.kept,
            }
        )

    def go_back(self, learned: Sequence[Learned], counts: dict[int, int]) -> None:
        """Learn the chunk once more, in the trials of `counts` only that many sequences of it."""
        self.net.load_state_dict(self.before)
        self._learn([one and one[0].first(counts.get(n, self.chunk)) for n, one in enumerate(learned)])

    def finish(self, n: int, **results: float) -> None:
        """Trial n is done."""
        self.trials[n] |= {"solved": 1, **results}
        self.active.remove(n)

    def test(
        self, trials: Sequence[int], count: int, piece: int = 128, draw: Draw | None = None
    ) -> dict[int, NDArray[np.float64]]:
        """The errors (count, K) at the ends of fresh sequences, with frozen weights, of each of the trials.

        `draw` makes them, where they are not drawn as those that are learned.
        """
        errors: dict[int, list[NDArray[np.float64]]] = {n: [] for n in trials}
        for part in range(-(-count // piece)):
            size = min(piece, count - part * piece)
            drawn = [
                (draw or self.draw[n])(stream(seed, TEST, part), size) if n in errors else None
                for n, seed in enumerate(self.work.seeds)
            ]
            for n, one in enumerate(self.predict(drawn)):
                if one is not None:
                    errors[n].append(one[0].errors(one[1]))
        return {n: np.concatenate(found) for n, found in errors.items()}

    def predict(self, drawn: Sequence[Sequences | None]) -> list[Learned]:
        """The outputs with frozen weights, where there are targets."""
        beside = together(drawn)
        y = self.net.predict(beside.inputs, starts=beside.starts, lengths=beside.lengths)
        return [one and (one, beside.outputs(y, n)) for n, one in enumerate(drawn)]

    def _draw(self, part: int) -> list[Sequences | None]:
        seeds = enumerate(self.work.seeds)
        return [self.draw[n](stream(s, LEARN, part), self.chunk) if n in self.active else None for n, s in seeds]

    def _learn(self, drawn: Sequence[Sequences | None]) -> list[Learned]:
        beside = together(drawn)
        y = self.net.learn(beside.inputs, beside.targets, beside.when, beside.starts, beside.lengths)
        return [one and (one, beside.outputs(y, n)) for n, one in enumerate(drawn)]

    def _report(self) -> None:
        all_of = len(self.trials)
        solved = sum(trial["solved"] for trial in self.trials)
        done = max(self.seen / self.limit, solved / all_of)
        self.work.progress(done, f"{self.seen:,} sequences, {solved} of {all_of} solved")
