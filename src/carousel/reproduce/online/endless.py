"""Endless data of trials side by side: pieces drawn one after the other, read a window at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from carousel.reproduce.online.lanes import stream

Array = NDArray[Any]


class Piece(NamedTuple):
    """Some steps of one trial's data, S of them; of several side by side, (T, N) of them.

    Attributes:
        inputs: (S, D) numbers, or (S,) integers: the index of the one 1.
        targets: (S, K).
        when: (S,) which steps have a target.
        begins: (S,) where a stream may begin.
        done: (S,) the steps that complete one more of what is counted: a symbol, a period, an interval.
        resets: (S,) before which a net is reset from outside, within a stream.
    """

    inputs: Array
    targets: Array
    when: Array
    begins: Array
    done: Array
    resets: Array


Draw = Callable[[np.random.Generator], Piece]


class Endless:
    """What each trial reads for one purpose, and how far it has come.

    Args:
        seeds: of the trials.
        purpose: of their random numbers.
        draw: makes the next piece of a trial; a stream may begin at its first step.
    """

    def __init__(self, seeds: Sequence[int], purpose: int, draw: Draw):
        self.seeds, self.purpose, self.draw = tuple(seeds), purpose, draw
        pieces = [draw(stream(seed, purpose, 0)) for seed in seeds]
        self.parts = np.ones(len(pieces), dtype=np.int64)
        self.at = np.zeros(len(pieces), dtype=np.int64)
        self.ends = np.array([len(piece.inputs) for piece in pieces])
        self.rows = [_room(like, len(pieces), int(self.ends.max())) for like in pieces[0]]
        for n, piece in enumerate(pieces):
            for row, values in zip(self.rows, piece, strict=True):
                row[n, : len(values)] = values

    def window(self, steps: int, trials: Array) -> Piece:
        """The next ``steps`` of the trials that are marked, (T, N, ...), zeros of the others; nothing is used up."""
        for n in map(int, np.flatnonzero(trials & (self.ends - self.at < steps))):
            self._refill(n, steps)
        chosen = np.flatnonzero(trials)
        index = chosen * self.rows[0].shape[1] + self.at[chosen] + np.arange(steps)[:, None]
        made = [np.zeros((steps, len(self.at), *row.shape[2:]), dtype=row.dtype) for row in self.rows]
        for window, row in zip(made, self.rows, strict=True):
            window[:, chosen] = row.reshape(-1, *row.shape[2:]).take(index, axis=0)
        return Piece(*made)

    def go_on(self, steps: NDArray[np.int64]) -> None:
        """Each trial has used as many steps."""
        self.at += steps

    def next_beginning(self, n: int) -> None:
        """Trial n goes on to where the next stream may begin."""
        while True:
            if self.at[n] == self.ends[n]:
                self._refill(n, 1)
            ahead = self.rows[3][n, self.at[n] : self.ends[n]]
            first = ahead.argmax()  # which looks no further than it must
            self.at[n] += first if ahead[first] else len(ahead)
            if ahead[first]:
                return

    def state(self) -> dict[str, Any]:
        """What to keep in order to go on."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("parts", "at", "ends")} | {
            "rows": [torch.from_numpy(row) for row in self.rows]
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was kept."""
        self.parts, self.at, self.ends = (state[name].numpy().copy() for name in ("parts", "at", "ends"))
        self.rows = [row.numpy().copy() for row in state["rows"]]

    def _refill(self, n: int, steps: int) -> None:
        """Drop what trial n has used, and draw until that many steps lie ahead."""
        left = self.ends[n] - self.at[n]
        for row in self.rows:
            row[n, :left] = row[n, self.at[n] : self.ends[n]]
        self.at[n], self.ends[n] = 0, left
        while self.ends[n] < steps:
            piece = self.draw(stream(self.seeds[n], self.purpose, int(self.parts[n])))
            self.parts[n] += 1
            end = self.ends[n] + len(piece.inputs)
            if end > self.rows[0].shape[1]:
                more = int(end) - self.rows[0].shape[1]
                self.rows = [np.concatenate([row, _room(row[0], len(row), more)], axis=1) for row in self.rows]
            for row, values in zip(self.rows, piece, strict=True):
                row[n, self.ends[n] : end] = values
            self.ends[n] = end


def _room(like: Array, trials: int, steps: int) -> Array:
    return np.zeros((trials, steps, *like.shape[1:]), dtype=like.dtype)
