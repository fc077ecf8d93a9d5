"""Measuring the time between spikes, and generating spikes at given times.

Gers, Schraudolph & Schmidhuber, "Learning precise timing with LSTM recurrent networks", Journal of Machine Learning
Research 3, 2002, https://www.jmlr.org/papers/v3/gers02a.html.

From one spike to the next there are F + I steps, I drawn from 0 to k each time. To measure is to say I, divided by k,
when a spike comes in. To generate is to be told I and to give the next spike, an output of 1, so many steps after the
last, and 0 at all others. A stream ends where the output is off by more than 0.49, or after 100 intervals. Then the net
is reset and a new stream begins. Solved is a net that is right about 1,000 intervals with weights that stay. The paper
gives up after ten million streams (measuring: a hundred million). Its tables are not at hand: of its figures only this
stands here, that spikes were generated with peepholes alone.

Where the paper leaves it open: F = 10 and k = 1, the shortest of its tasks as remembered; a stream begins just after a
spike; I comes in for one step right after a spike, as 1 + I / k, and the input is 0 at all others; measuring has a
target at spikes alone; a test follows each stream that reached 100 intervals. Told I / k instead, which is nothing for
the shorter interval, none of 16 nets learned to generate: 0.8 million streams with peepholes, 3 million without.

Measuring was not learned in as many streams as were tried, by nets that guess: two intervals a stream. Forget gates
start at a bias of -2, at which 0.12 of a state is left after a step and 10^-9 after ten, so that the gradient does not
tell 10 steps from 11. Where they started at 4, nets learned a stream's first interval and guessed the others.
"""

from __future__ import annotations

import numpy as np

import carousel as ca
from carousel.reproduce.experiment import Experiment, Figure, Quick, Setting
from carousel.reproduce.online.endless import Draw, Piece
from carousel.reproduce.online.streams import Rules, Streams
from carousel.reproduce.papers.timing_2002 import (
    CITATION,
    SOLVED,
    STREAMS,
    SUCCESSES,
    TEST_LENGTH,
    TESTED,
    timing_net,
)
from carousel.reproduce.work import Trial, Work

INTERVALS, TOLERANCE = 2_000, 0.49


def spikes(task: str, shortest: int, more: int) -> Draw:
    """Makes pieces of intervals of ``shortest`` to ``shortest + more`` steps, to "measure" or to "generate"."""

    def draw(random: np.random.Generator) -> Piece:
        extra = random.integers(more, endpoint=True, size=INTERVALS)
        ends = np.cumsum(shortest + extra) - 1
        first = ends - (shortest + extra) + 1
        told, spike = np.zeros((ends[-1] + 1, 1)), np.zeros((ends[-1] + 1, 1))
        begins, done = np.zeros(len(spike), dtype=bool), np.zeros(len(spike), dtype=bool)
        begins[first], done[ends], spike[ends] = True, True, 1
        never, every = np.zeros(len(spike), dtype=bool), np.ones(len(spike), dtype=bool)
        if task == "measure":
            told[ends, 0] = extra / max(more, 1)
            return Piece(spike, told, done, begins, done, never)
        told[first, 0] = 1 + extra / max(more, 1)
        return Piece(told, spike, every, begins, done, never)

    return draw


def run(
    work: Work,
    *,
    task: str,
    shortest: int,
    more: int,
    peepholes: bool,
    rate: float,
    momentum: float,
    streams: int,
) -> list[Trial]:
    """Learn until the test is passed, or from as many streams."""
    net = timing_net(work.seeds, peepholes=peepholes, output=ca.sigmoid, rate=rate, momentum=momentum)
    rules = Rules(TOLERANCE, SUCCESSES, TESTED, tests=1, always=False, streams=streams)
    return Streams(work, net, spikes(task, shortest, more), rules).run()


def _setting(task: str, peepholes: bool, momentum: float, streams: int, solved: float | None = None) -> Setting:
    options = {"task": task, "shortest": 10, "more": 1, "peepholes": peepholes, "rate": 1e-5}
    return Setting(
        f"{task}-{'peepholes' if peepholes else 'plain'}",
        f"{task}, 10 or 11 steps, {'with' if peepholes else 'without'} peepholes",
        options | {"momentum": momentum, "streams": streams},
        paper={} if solved is None else {"solved": Figure(solved)},
        quick={"streams": 1_000_000},
    )


timed_spikes = Experiment(
    "timed_spikes",
    "Measuring and generating timed spikes (precise timing)",
    CITATION,
    run,
    [SOLVED, STREAMS, TEST_LENGTH],
    [
        _setting("generate", True, 0.999, 10_000_000, 1.0),
        _setting("generate", False, 0.999, 10_000_000, 0.0),
        _setting("measure", True, 0.9999, 100_000_000),
        _setting("measure", False, 0.9999, 100_000_000),
    ],
    trials=10,
    quick=Quick(10, "ten and a hundred million streams to one million"),
    together=None,
)
