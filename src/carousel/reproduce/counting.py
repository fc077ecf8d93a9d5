"""Counting: the languages a^n b^n and a^n b^n c^n, and how far beyond the strings learned a net goes on counting.

Gers & Schmidhuber, "LSTM recurrent networks learn simple context-free and context-sensitive languages", IEEE
Transactions on Neural Networks 12(6), 2001, doi:10.1109/72.963769.

A string is S, n times a, n times b (and n times c), its end is T. At each step the net sees a symbol and says which
may come next; all are coded by 1 and -1. A string is accepted when, at every step, exactly the legal symbols' outputs
are above 0. Strings with n from 1 to 10 are learned in random order; a net has learned when it accepts them all,
tested after every 100 strings. Then it goes on learning to the end of its budget, tested every 1,000 strings, and the
farthest n up to which it ever accepts all strings is kept.

The net is the LSTM with forget gates and peepholes, one cell for a^n b^n (38 weights), two for a^n b^n c^n (90),
learned on-line with errors truncated at gates and peepholes. The paper's figures here are remembered, not verified,
and so are the details; squashing functions and the starts of biases are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

import carousel as ca
from carousel.reproduce.experiment import REMEMBERED, TODAY, Experiment, Figure, Measure, Quick, Setting
from carousel.reproduce.hochreiter_1997 import SEQUENCES, SOLVED
from carousel.reproduce.lanes import Draw, Lanes
from carousel.reproduce.lstm_1997_nets import draw_weights
from carousel.reproduce.sequences import Numbers, Sequences
from carousel.reproduce.work import Trial, Work

LONGEST, CHUNK, TESTED_EVERY = 10, 100, 1_000
Net = Callable[..., Any]  # of seeds and letters, a `carousel.Online`


@cache
def string(n: int, letters: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (steps, letters + 1) of S a b c, and targets of a b c T, both 1 and -1.

    >>> inputs, targets = string(1, 2)
    >>> inputs.tolist()  # S, a, b
    [[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    >>> targets.tolist()  # a; a or b; the end
    [[1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    symbols = np.concatenate([[0], np.repeat(np.arange(1, letters + 1), n)])
    following = np.concatenate([symbols[1:] - 1, [letters]])
    legal = np.eye(letters + 1, dtype=bool)[following]
    legal[1 : n + 1, :2] = True
    return 2.0 * np.eye(letters + 1)[symbols] - 1, 2.0 * legal - 1


def strings(lengths: Sequence[int], letters: int) -> Sequences:
    """The strings with these n, one after the other."""
    made = [string(int(n), letters) for n in lengths]
    inputs, targets = (np.concatenate(part) for part in zip(*made, strict=True))
    return Sequences(inputs, targets, np.array([len(one) for one, _ in made]))


def counted(letters: int) -> Draw:
    """Strings to learn."""
    return lambda random, count: strings(random.integers(1, LONGEST, endpoint=True, size=count).tolist(), letters)


def accepted(drawn: Sequences, outputs: Numbers) -> np.ndarray:
    """(k,) which of the strings are accepted."""
    right = ((outputs > 0) == (drawn.targets > 0)).all(axis=1)
    return np.logical_and.reduceat(right, drawn.starts)


@ca.cell
def counter(x, h, s, p):
    """LSTM with forget gates and peepholes, whose errors go back along s alone."""
    h, seen = ca.stop_gradient(h), ca.stop_gradient(s)
    i = ca.sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * seen + p.b_i)
    f = ca.sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * seen + p.b_f)
    s = f * s + i * (p.W_c @ x + p.U_c @ h + p.b_c)
    o = ca.sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * ca.stop_gradient(s) + p.b_o)
    h = o * s
    return h, s


def by_gradient(seeds: Sequence[int], letters: int, *, rate: float, momentum: float) -> Any:
    """Gradient descent with momentum, the weights changing at each step."""
    net = ca.Online(
        ca.readout(counter, output=ca.tanh, sees=("h",), direct=True),
        input_size=letters + 1,
        hidden_size=letters - 1,
        output_size=letters + 1,
        rule=ca.SGD(rate, momentum=momentum),
        form="traces",
        nets=len(seeds),
    )
    draw_weights(net, seeds, 0.1, {name: [value] * (letters - 1) for name, value in STARTS.items()})
    return net


STARTS = {"b_i": 0.0, "b_f": 2.0, "b_o": 0.0}
METHODS: dict[str, Net] = {"gradient": by_gradient}


def run(work: Work, *, letters: int, method: str, limit: int, farthest: int, **options: float) -> list[Trial]:
    """Learn ``limit`` strings; note when those learned are accepted, and how far the net ever counts."""
    net = METHODS[method](work.seeds, letters, **options)
    lanes = Lanes(work, net, counted(letters), chunk=CHUNK, limit=limit)
    lanes.resume()
    known = strings(range(1, LONGEST + 1), letters)
    for _ in lanes.learn():
        seen = lanes.seen + CHUNK
        for n, one in enumerate(lanes.predict([known] * len(work.seeds))):
            if one and accepted(*one).all() and not lanes.trials[n]["solved"]:
                lanes.trials[n] |= {"solved": 1, "sequences": seen}
        if seen % TESTED_EVERY == 0:
            _note_farthest(lanes, letters, farthest)
    return lanes.trials


def _note_farthest(lanes: Lanes, letters: int, farthest: int) -> None:
    """How far the nets that have learned count, tested on longer and longer strings."""
    left = {n: LONGEST for n, trial in enumerate(lanes.trials) if trial["solved"]}
    first = 1
    while left and first <= farthest:
        tested = range(first, min(first + max(LONGEST, first - 1), farthest + 1))
        drawn = strings(tested, letters)
        for n, one in enumerate(lanes.predict([drawn if n in left else None for n in range(len(lanes.trials))])):
            if one:
                right = accepted(*one)
                reached = int(tested[-1] if right.all() else tested[0] + right.argmin() - 1)
                trial = lanes.trials[n]
                trial["farthest"] = max(reached, trial.get("farthest", 0))
                if not right.all():
                    del left[n]
        first = tested[-1] + 1


def _language(name: str, title: str, letters: int, limit: int, sequences: float, farthest: float) -> Experiment:
    paper = {"sequences": Figure(sequences, REMEMBERED), "farthest": Figure(farthest, REMEMBERED, "mean over nets")}
    options = {"letters": letters, "method": "gradient", "limit": limit, "farthest": 1_000, "momentum": 0.99}
    return Experiment(
        name,
        title,
        "Gers & Schmidhuber, LSTM recurrent networks learn simple context-free and context-sensitive languages, IEEE "
        "Transactions on Neural Networks 12(6), 2001, doi:10.1109/72.963769",
        run,
        [SEQUENCES, SOLVED, Measure("farthest", "higher", "count")],
        [
            Setting("gradient", "gradient, rate 0.00001, n to 10", {**options, "rate": 1e-5}, paper=paper),
            Setting("gradient-faster", "gradient, rate 0.0001, n to 10", {**options, "rate": 1e-4}, kind=TODAY),
        ],
        trials=10,
        quick=Quick(4, "four trials at the larger rate", ("gradient-faster",)),
        together=None,
    )


anbn = _language("anbn", "Counting: a^n b^n", 2, 60_000, 22_000, 118)
anbncn = _language("anbncn", "Counting: a^n b^n c^n", 3, 200_000, 54_000, 28)
