"""Predicting the next symbol of the embedded Reber grammar.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, experiment 1, table 1,
doi:10.1162/neco.1997.9.8.1735. Its figures of real-time recurrent learning are those of Smith & Zipser (1989), of
Elman's procedure those of Cleeremans et al. (1989).

256 strings are learned, drawn again and again in random order, the weights change after each symbol; 256 other strings
are for the test. A net has learned the grammar when, for every string of both sets and at each step, every legal next
symbol's output is larger than that of every other symbol.

Where the paper leaves it open: the target is the symbol that comes; both sets are tested after every 20 strings
learned, so the sequences of a trial are a multiple of 20; biases of input gates start as other weights do; three pairs
of sets are shared by the trials. The plain nets have no biases, as the paper's counts of weights tell: in the first,
all units, the seven outputs among them, see the input and each other, and gradients are exact; in Elman's, the
outputs see 15 hidden units, and errors go no further than one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import carousel as ca
from carousel.reproduce.experiment import Experiment, Figure, Quick, Setting
from carousel.reproduce.online.lanes import SETS, Lanes, Learned, stream
from carousel.reproduce.online.sequences import Sequences
from carousel.reproduce.papers import reber
from carousel.reproduce.papers.hochreiter_1997 import CITATION, SEQUENCES, SOLVED
from carousel.reproduce.papers.lstm_1997_nets import draw_weights, memory_net
from carousel.reproduce.papers.lstm_1997_today import as_today, unrolled
from carousel.reproduce.work import Trial, Work

STRINGS, FIRST, PAIRS, CHUNK, REACH = 256, 32, 3, 20, 0.2


class Sets:
    """A pair of sets of strings."""

    def __init__(self, seed: int):
        number = seed % PAIRS
        self.strings = [reber.strings(stream(number, SETS, part), STRINGS) for part in range(2)]

    def draw(self, random: np.random.Generator, count: int) -> Sequences:
        """Strings to learn."""
        return _sequences(reber.take(self.strings[0], random.integers(STRINGS, size=count)))

    def sequences(self, part: int, count: int) -> Sequences:
        """The first strings of the set to learn (0) or of the test set (1)."""
        return _sequences(self.strings[part]).first(count)

    def right(self, part: int, outputs: Learned) -> bool:
        """Whether the outputs for strings of that set are right at every step."""
        return bool(outputs and reber.all_legal_first(outputs[1], self.strings[part].legal[: len(outputs[1])]).all())


def _sequences(strings: reber.Strings) -> Sequences:
    return Sequences(strings.symbols, strings.next, strings.lengths)


def run(work: Work, *, method: str, rate: float, limit: int, today: Any = None, **sizes: int) -> list[Trial]:
    """Learn until both sets of strings are right, or for ``limit`` sequences."""
    learner = unrolled(today, rate=rate, inputs=7, outputs=7, symbols=True, classes=True)
    net = learner or NETS[method](work.seeds, rate=rate, **sizes)
    sets = [Sets(seed) for seed in work.seeds]
    lanes = Lanes(work, net, [one.draw for one in sets], chunk=CHUNK, limit=limit)
    lanes.resume()
    for _ in lanes.learn():
        for n in _learned(lanes, sets):
            lanes.finish(n, sequences=lanes.seen + CHUNK)
    return lanes.trials


def _learned(lanes: Lanes, sets: list[Sets]) -> list[int]:
    """The trials whose sets are right; a few strings first, since most nets fail there already."""
    left = list(lanes.active)
    for part, count in ((0, FIRST), (0, STRINGS), (1, STRINGS)):
        if left:
            found = lanes.predict([one.sequences(part, count) if n in left else None for n, one in enumerate(sets)])
            left = [n for n in left if sets[n].right(part, found[n])]
    return left


def lstm(seeds: Sequence[int], *, blocks: int, cells: int, rate: float) -> Any:
    """The paper's net: 264 weights with four blocks of one cell, 276 with three of two."""
    return memory_net(
        seeds,
        inputs=7,
        outputs=7,
        blocks=blocks,
        cells=cells,
        rate=rate,
        reach=REACH,
        biased="io",
        output_bias=False,
        starts={"b_o": [-1.0, -2.0, -3.0, -4.0][:blocks]},
    )


@ca.cell(widths={"h": "hidden_size"})
def fully_recurrent(x, h, p):
    """Units that all see the input and each other; the first seven are the outputs."""
    h = ca.sigmoid(p.W @ x + p.U @ h)
    return ca.slice(h, 0, 7), h


@ca.cell
def elman_1990(x, h, p):
    """Logistic hidden units without bias; an error stays within the step."""
    h = ca.sigmoid(p.W @ x + p.U @ ca.stop_gradient(h))
    return h


def rtrl(seeds: Sequence[int], *, hidden: int, rate: float) -> Any:
    """Real-time recurrent learning: 170 weights with three hidden units, 494 with twelve."""
    return _plain(seeds, fully_recurrent, 7 + hidden, rate, form="exact")


def elman(seeds: Sequence[int], *, hidden: int, rate: float) -> Any:
    """Elman's procedure: 435 weights with fifteen hidden units."""
    return _plain(seeds, ca.readout(elman_1990, bias=False), hidden, rate, form="traces", output_size=7)


def _plain(seeds: Sequence[int], cell: ca.Cell, units: int, rate: float, **options: Any) -> Any:
    net = ca.Online(
        cell,
        input_size=7,
        hidden_size=units,
        rule=ca.SGD(rate),
        loss="squared error",
        update="step",
        nets=len(seeds),
        **options,
    )
    draw_weights(net, seeds, REACH, {})
    return net


NETS: dict[str, Callable[..., Any]] = {"lstm": lstm, "rtrl": rtrl, "elman": elman}


WORSE = (
    "The cause is not found. Nets that fail do not store the first T or P, or are caught in a local minimum: of six "
    "with three blocks of two at the rate 0.1, after 60,000 strings one was right, one had been wrong at the same "
    "238 inner steps since 24,000, and four said the wrong last T or P in half of the strings. What the paper leaves "
    "open does not explain it: of eight nets at the rate 0.5, in 30,000 strings 1 learned it as stored; 1 with "
    "weights from -0.1 to 0.1, 2 from -0.5 to 0.5, 0 from -1 to 1; 4 with output gates starting at 0; 4 with input "
    "gates at -1, -2, -3; 1 with biased outputs; 1 with biased cells. Of ten, in another program of the same "
    "equations: 4 as stored; 4, 2 and 2 with (g, h) up to (1, 2), (2, 2) and (1, 1); 0 with activations starting at "
    "1/2, as in a later simulator of the authors; none of six with weights changed at the end of strings. Targets of "
    "1 for every legal symbol: 2, 3 and 3 of 16 at the rates 0.1, 0.2 and 0.5, in 41,500, 17,100 and 8,500 strings. "
    "The closest that we came to the paper is with such targets, biased outputs, and gates that no unit sees: 25 of "
    "30 at the rate 0.1, in 16,800 strings, and 21 of 30 at 0.2, in 9,300. Gradients without truncation: 5 of 8 at "
    "0.5 within 30,000."
)


def _setting(name: str, title: str, options: dict[str, Any], solved: float | None, sequences: float | None) -> Setting:
    found = {"solved": solved, "sequences": sequences}
    paper = {key: Figure(value) for key, value in found.items() if value is not None}
    return Setting(name, title, options, paper=paper, explanation=WORSE if options["method"] == "lstm" else "")


def _memory(blocks: int, cells: int, rate: float, solved: float, sequences: float) -> Setting:
    options = {"method": "lstm", "blocks": blocks, "cells": cells, "rate": rate, "limit": LIMIT}
    title = f"LSTM, {blocks} blocks of {cells}, rate {rate}"
    return _setting(f"lstm-{blocks}x{cells}-{rate}", title, options, solved, sequences)


def _other(method: str, title: str, hidden: int, rate: float, solved: float | None, sequences: float | None) -> Setting:
    options = {"method": method, "hidden": hidden, "rate": rate, "limit": 2 * LIMIT}
    return _setting(f"{method}-{hidden}", f"{title}, {hidden} hidden units", options, solved, sequences)


FLAT = (
    "One of ten of the paper's cells fails: its states grow to between 10 and 20, where the squashing is flat, so that "
    "no error reaches what was stored. From 5,000 to 40,000 strings it says the wrong last T or P in 126 to 130 of 256 "
    "strings, and from 15,000 on nothing else wrong. The LSTM, whose gates can forget, solves all ten."
)
LIMIT = 100_000
BEST = _memory(3, 2, 0.5, 1.0, 8_440)

embedded_reber = Experiment(
    "embedded_reber",
    "Embedded Reber grammar (experiment 1)",
    CITATION,
    run,
    [SEQUENCES, SOLVED],
    [
        _memory(4, 1, 0.1, 1.0, 39_740),
        _memory(3, 2, 0.1, 1.0, 21_730),
        _memory(3, 2, 0.2, 0.97, 14_060),
        _memory(4, 1, 0.5, 0.97, 9_500),
        BEST,
        _other("rtrl", "real-time recurrent learning", 3, 0.05, None, 173_000),
        _other("rtrl", "real-time recurrent learning", 12, 0.1, None, 25_000),
        _other("elman", "Elman's procedure", 15, 0.1, 0.0, None),
        *as_today(BEST, longest=20, limit=LIMIT, named=False, explanation=FLAT),
    ],
    trials=30,
    quick=Quick(
        8, "three blocks of two at the rate 0.5 alone, eight trials", ("lstm-3x2-0.5", "lstm-adam", "lstm_1997-adam")
    ),
    together=None,
)
