"""The experiments of the 1997 paper: what their generators draw, how many weights their nets have, when they stop."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.reproduce.online.criteria import MostRecent
from carousel.reproduce.online.lanes import Lanes, stream
from carousel.reproduce.online.sequences import Sequences, together
from carousel.reproduce.online.stopping import errors_of, until_most_recent
from carousel.reproduce.papers import (
    adding,
    embedded_reber,
    long_lag_2a,
    long_lag_2c,
    reber,
    temporal_order,
    two_sequence,
)
from carousel.reproduce.papers.lstm_1997_nets import memory_net, weights_of
from carousel.reproduce.work import Work

# Written down once more, from the grammar's picture: loops and branches as a regular expression.
REBER = re.compile(r"B(TS*X(XT*V(PXT*V)*(PS|V)|S)|PT*V(PXT*V)*(PS|V))E")
COUNT = 4_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def words(strings: reber.Strings) -> list[str]:
    ends = np.cumsum(strings.lengths)
    letters = "".join(reber.SYMBOLS[symbol] for symbol in strings.symbols)
    last = [reber.SYMBOLS[symbol] for symbol in strings.next[ends - 1]]
    return [letters[end - length : end] + said for end, length, said in zip(ends, strings.lengths, last, strict=True)]


def test_strings_are_of_the_embedded_grammar(random: np.random.Generator) -> None:
    drawn = words(reber.strings(random, COUNT))
    assert all(REBER.fullmatch(word[2:-2]) and word[0] == "B" and word[-1] == "E" for word in drawn)
    assert all(word[1] == word[-2] and word[1] in "TP" for word in drawn)
    assert min(map(len, drawn)) == 9


def test_branches_have_equal_probability(random: np.random.Generator) -> None:
    drawn = words(reber.strings(random, COUNT))
    for share in (
        np.mean([word[1] == "T" for word in drawn]),
        np.mean([word[3] == "T" for word in drawn]),
        np.mean([word[4] == "S" for word in drawn if word[3] == "T"]),
        np.mean([word[4] == "T" for word in drawn if word[3] == "P"]),
    ):
        assert abs(share - 0.5) < 0.05


def test_the_legal_symbols_are_those_that_the_grammar_can_say(random: np.random.Generator) -> None:
    strings = reber.strings(random, COUNT)
    drawn, said = words(strings), {}
    for word in drawn:
        for length in range(1, len(word)):
            said.setdefault(word[:length], set()).add(word[length])
    legal = iter(strings.legal)
    for word in drawn:
        for length in range(1, len(word)):
            symbols = {reber.SYMBOLS[k] for k in np.flatnonzero(next(legal))}
            assert word[length] in symbols and said[word[:length]] <= symbols and len(symbols) <= 2
    assert said["B"] == {"T", "P"} and said["BTBTSSXSE"] == {"T"}


def test_strings_can_be_taken_again(random: np.random.Generator) -> None:
    strings = reber.strings(random, 20)
    some = reber.take(strings, np.array([7, 3, 7]))
    assert words(some) == [words(strings)[n] for n in (7, 3, 7)]
    assert some.legal.shape == (len(some.symbols), 7)


def test_every_legal_symbol_comes_first_or_the_step_is_wrong() -> None:
    legal = np.array([[True, False, True]] * 3)
    outputs = np.array([[0.5, 0.4, 0.6], [0.5, 0.5, 0.6], [0.9, 0.5, 0.4]])
    assert reber.all_legal_first(outputs, legal).tolist() == [True, False, False]


@pytest.mark.parametrize(("multiply", "least"), [(False, -1.0), (True, 0.0)])
def test_marked_pairs(random: np.random.Generator, multiply: bool, least: float) -> None:
    drawn = adding.marked_pairs(100, multiply=multiply)(random, COUNT)
    assert set(drawn.lengths) == set(range(100, 111))
    assert drawn.inputs[:, 0].min() >= least and drawn.inputs[:, 0].max() <= 1
    firsts = 0
    for start, end, target in zip(drawn.starts, drawn.ends, drawn.targets[:, 0], strict=True):
        pairs = drawn.inputs[start : end + 1]
        places = np.flatnonzero(pairs[:, 1] == 1)
        assert len(places) == 2 and places[0] < 10 and places[1] < 50
        x1, x2 = pairs[places, 0]
        assert target == pytest.approx(x1 * x2 if multiply else 0.5 + (x1 + x2) / 4)
        if places[0] == 0:
            firsts += 1
            assert x1 == (1 if multiply else 0)
        else:
            assert pairs[0, 1] == -1
        assert pairs[-1, 1] == -1 and np.count_nonzero(pairs[:, 1]) == (3 if places[0] == 0 else 4)
    assert 0.08 < firsts / COUNT < 0.15


@pytest.mark.parametrize("symbols", [2, 3])
def test_temporal_order(random: np.random.Generator, symbols: int) -> None:
    drawn = temporal_order.ordered(symbols)(random, COUNT)
    assert set(drawn.lengths) == set(range(100, 111))
    for start, end, order in zip(drawn.starts, drawn.ends, drawn.targets, strict=True):
        inputs = drawn.inputs[start : end + 1]
        places = np.flatnonzero(inputs >= temporal_order.X)
        assert inputs[0] == temporal_order.E and inputs[-1] == temporal_order.B and len(places) == symbols
        assert all(0 <= at - least <= 10 for at, least in zip(places, temporal_order.PLACES[symbols], strict=True))
        assert order == int("".join("1" if inputs[at] == temporal_order.Y else "0" for at in places), 2)
    assert np.bincount(drawn.targets).min() > 0.8 * COUNT / 2**symbols


def test_two_kinds_of_sequence(random: np.random.Generator) -> None:
    drawn = two_sequence.two_kinds(100, 3)(random, COUNT)
    heads = drawn.inputs[drawn.starts[:, None] + np.arange(3), 0]
    assert (heads == np.where(drawn.targets == 1, 1.0, -1.0)).all()
    rest = np.delete(drawn.inputs[:, 0], (drawn.starts[:, None] + np.arange(3)).ravel())
    assert abs(rest.var() - 0.2) < 0.01 and abs(rest.mean()) < 0.01
    noisy = two_sequence.two_kinds(100, 1, noisy=True, low=0.2, target_noise=0.1)(random, COUNT)
    head, targets = noisy.inputs[noisy.starts, 0], noisy.targets[:, 0]
    assert abs(np.abs(head).mean() - 1.0) < 0.05 and head.std() > 1.05
    assert abs(targets[head > 0].mean() - 0.8) < 0.05 and abs(targets[head < 0].std() - 0.1**0.5) < 0.05


@pytest.mark.parametrize(("lag", "distractors"), [(50, 50), (100, 10)])
def test_distracted_sequences(random: np.random.Generator, lag: int, distractors: int) -> None:
    drawn = long_lag_2c.distracted(lag, distractors)(random, COUNT)
    extra = drawn.lengths - lag - 3
    assert extra.min() == 0 and abs(extra.mean() - 9) < 0.7  # 9/10 go on
    assert (drawn.inputs[drawn.starts] == 2).all() and (drawn.inputs[drawn.ends] == 3).all()
    assert (drawn.inputs[drawn.starts + 1] == drawn.targets).all()
    inner = np.delete(drawn.inputs, np.concatenate([drawn.starts, drawn.starts + 1, drawn.ends]))
    assert inner.min() == 4 and inner.max() == distractors + 3


@pytest.mark.parametrize("shuffled", [False, True])
def test_framed_sequences(random: np.random.Generator, shuffled: bool) -> None:
    drawn = long_lag_2a.framed(10, shuffled=shuffled)(random, COUNT)
    inputs, targets = drawn.inputs.reshape(COUNT, 10), drawn.targets.reshape(COUNT, 10)
    assert (inputs[:, 0] == targets[:, -1]).all() and set(inputs[:, 0]) == {9, 10}
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    assert ((inputs[:, 1:] == np.arange(9)).all()) != shuffled and inputs[:, 1:].max() == 8


def net(inputs: int, outputs: int, blocks: int, cells: int, biased: str, output_bias: bool) -> int:
    sizes = {"inputs": inputs, "outputs": outputs, "blocks": blocks, "cells": cells}
    return weights_of(memory_net([0], **sizes, rate=0.1, reach=0.1, biased=biased, output_bias=output_bias))


@pytest.mark.parametrize(
    ("weights", "sizes"),
    [
        (264, (7, 7, 4, 1, "io", False)),
        (276, (7, 7, 3, 2, "io", False)),
        (364, (54, 2, 2, 1, "", False)),
        (6_064, (1_004, 2, 2, 1, "", False)),
        (102, (1, 1, 3, 1, "ioc", False)),
        (93, (2, 1, 2, 2, "ioc", True)),
        (156, (8, 4, 2, 2, "ioc", True)),
        (308, (8, 8, 3, 2, "ioc", True)),
    ],
)
def test_nets_have_as_many_weights_as_the_paper_counts(weights: int, sizes: tuple) -> None:
    assert net(*sizes) == weights


def test_plain_nets_have_as_many_weights_as_the_paper_counts() -> None:
    assert weights_of(embedded_reber.rtrl([0], hidden=3, rate=0.1)) == 170
    assert weights_of(embedded_reber.rtrl([0], hidden=12, rate=0.1)) == 494
    assert weights_of(embedded_reber.elman([0], hidden=15, rate=0.1)) == 435
    for weights, cell, symbols in (
        (10_504, long_lag_2a.with_cell, 100),
        (10_404, long_lag_2a.plain, 100),
        (144, long_lag_2a.plain, 10),
        (36, long_lag_2a.plain, 4),
    ):
        assert weights_of(long_lag_2a._net(cell, [0], symbols, 1.0)) == weights


def test_sequences_side_by_side_end_together_where_targets_are_at_ends(random: np.random.Generator) -> None:
    draw = adding.marked_pairs(100)
    trials = [draw(random, 5), None, draw(random, 5)]
    beside = together(trials)
    assert beside.lengths[1] == 0 and (beside.when[:, 0] == beside.when[:, 2]).all()
    for n in (0, 2):
        marks = np.flatnonzero(beside.starts[:, n]), np.flatnonzero(beside.when[:, n])
        found = np.concatenate([beside.inputs[a : b + 1, n] for a, b in zip(*marks, strict=True)])
        assert (found == trials[n].inputs).all()
        assert (beside.targets[beside.when[:, n], n].numpy() == trials[n].targets).all()


def test_errors_of_hand_made_outputs() -> None:
    drawn = Sequences(np.array([0, 1, 2]), np.array([1, 0, 1]), np.array([1, 2]))
    outputs = np.array([[0.1, 0.7], [0.9, 0.0], [0.0, 0.5]])
    worst, means = errors_of([(drawn, outputs), None])
    assert worst.tolist() == [[pytest.approx(0.3), 0.5], [np.inf, np.inf]]
    assert means[0] == pytest.approx([0.2, (0.05 + 0.25) / 2])


def test_most_recent_needs_a_full_window_and_a_small_mean() -> None:
    criterion = MostRecent(2, window=4, tolerance=0.3, wrong=1, mean=0.1)
    right, wrong = 0.0, 0.5
    assert criterion.first(np.array([[right] * 3, [wrong] * 3]), np.full((2, 3), 0.05)) == [None, None]
    assert criterion.first(np.array([[right] * 3, [right] * 3]), np.full((2, 3), 0.05)) == [1, 3]
    again = MostRecent(2, window=4, tolerance=0.3, wrong=1, mean=0.1)
    again.restore(criterion.state())
    assert again.first(np.array([[wrong], [right]]), np.array([[0.05], [0.9]])) == [1, None]


class Known:
    """Stands for nets: an output that is right from the 70th sequence on."""

    def __init__(self, trials: int):
        self.learned = [0] * trials

    def learn(self, inputs, targets, when, starts, lengths):
        y = targets.clone()
        for n, count in enumerate(lengths.tolist()):
            for step in np.flatnonzero(when[:count, n]):
                self.learned[n] += 1
                y[step, n] += 0.0 if self.learned[n] >= 70 else 0.5
        return y

    def predict(self, inputs, starts, lengths):
        return inputs[:, :, :1] * 0

    def state_dict(self):
        return {"learned": list(self.learned)}

    def load_state_dict(self, state):
        self.learned = list(state["learned"])


def test_a_trial_stops_at_the_very_sequence(tmp_path: Path) -> None:
    known = Known(2)
    lanes = Lanes(Work([0, 1], tmp_path), known, adding.marked_pairs(100), chunk=32, limit=1_000)
    trials = until_most_recent(lanes, MostRecent(2, window=20, tolerance=0.1), tested=3)
    assert [trial["sequences"] for trial in trials] == [89, 89]
    assert known.learned == [89, 89]


def test_weights_that_are_cut_stay_0_and_the_others_are_those_of_the_whole_net() -> None:
    cut = long_lag_2c.INTO_CELLS
    whole, sparse = (
        memory_net(
            [5], inputs=3, outputs=2, blocks=2, cells=2, rate=0.5, reach=0.2, biased="io", output_bias=False, cut=names
        )
        for names in ((), cut)
    )
    assert weights_of(whole) - weights_of(sparse) == 4 * (4 + 2 + 2)
    assert all(sparse.parameters[name].eq(whole.parameters[name]).all() for name in whole.parameters if name not in cut)
    before = sparse.parameters["U_i"].clone()
    sparse.learn(torch.rand(30, 1, 3), torch.rand(30, 1, 2))
    assert not any(sparse.parameters[name].any() for name in cut) and (sparse.parameters["U_i"] != before).all()


def test_a_trial_is_the_same_beside_others_and_after_a_resume(tmp_path: Path) -> None:
    def lanes(seeds: list[int], folder: str, limit: int) -> Lanes:
        made = memory_net(
            seeds, inputs=2, outputs=1, blocks=2, cells=2, rate=0.5, reach=0.1, biased="ioc", output_bias=True
        )
        return Lanes(Work(seeds, tmp_path / folder), made, adding.marked_pairs(20), chunk=10, limit=limit)

    def weights(one: Lanes, trial: int) -> list[np.ndarray]:
        return [value[trial].numpy() for value in one.net.parameters.values()]

    both, alone, first = lanes([3, 4], "both", 40), lanes([4], "alone", 40), lanes([3, 4], "cut", 20)
    for one in (both, alone, first):
        for _ in one.learn():
            pass
    first.keep()
    second = lanes([3, 4], "cut", 40)
    assert second.resume()
    for _ in second.learn():
        pass
    for a, b, c in zip(weights(both, 1), weights(alone, 0), weights(second, 1), strict=True):
        assert (a == b).all() and (a == c).all()


def test_embedded_reber_runs(tmp_path: Path) -> None:
    trials = embedded_reber.run(Work([0, 1], tmp_path), method="lstm", blocks=3, cells=2, rate=0.5, limit=100)
    assert [trial["solved"] for trial in trials] == [0, 0]
    assert (stream(0, 0).integers(100, size=5) == stream(0, 0).integers(100, size=5)).all()


def test_only_the_last_symbol_is_a_target(random: np.random.Generator, tmp_path: Path) -> None:
    drawn = long_lag_2a.framed(10, shuffled=True, last=True)(random, COUNT)
    assert drawn.only_at_ends and (drawn.targets == drawn.inputs[drawn.starts]).all()
    work = Work([0, 1], tmp_path)
    trials = long_lag_2a.run(work, method="lstm", symbols=4, rate=1.0, limit=100, closed=3.0, shuffled=True, last=True)
    assert [trial["solved"] for trial in trials] == [0, 0]


def test_easier_strings_have_all_legal_symbols_as_targets(tmp_path: Path) -> None:
    drawn = embedded_reber.Sets(0, legal=True).sequences(0, 5)
    assert drawn.targets.shape == (len(drawn.inputs), 7) and set(drawn.targets.sum(1)) <= {1, 2}
    trials = embedded_reber.run(Work([0], tmp_path), method="easier", blocks=3, cells=2, rate=0.05, limit=100)
    assert trials == [{"solved": 0}]


def test_the_cell_is_added_when_the_error_no_longer_decreases() -> None:
    nets = long_lag_2a.Growing([0, 1], 4, 1.0)
    for errors in ([1.0, 1.0], [0.5, 0.995]):
        nets.grow(np.array(errors), 100)
    assert nets.grown.tolist() == [False, True]
    assert (nets.large.parameters["W_xy"][1] == nets.small.parameters["W_xy"][1]).all()
