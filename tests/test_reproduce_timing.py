"""Streams that end at the first error: their data, where they end, and the nets that learn from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import carousel as ca
from carousel.reproduce import get
from carousel.reproduce.online import streams
from carousel.reproduce.online.endless import Endless, Piece
from carousel.reproduce.online.lanes import LEARN, stream
from carousel.reproduce.online.streams import Rules, Streams
from carousel.reproduce.papers import continual_reber, periodic_functions, reber, timed_spikes
from carousel.reproduce.papers.lstm_1997_nets import weights_of
from carousel.reproduce.papers.timing_2002 import timing_net
from carousel.reproduce.work import Work

SMALL = {
    "continual_reber": {"streams": 6, "length": 50},
    "periodic_functions": {"streams": 6},
    "timed_spikes": {"streams": 6},
}
FORGET = {"keeps": None, "rate": 0.5, "decay": 0.99}


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("external", [False, True])
def test_strings_follow_each_other(random: np.random.Generator, external: bool) -> None:
    piece = continual_reber.without_end(external)(random)
    text = "".join(reber.SYMBOLS[symbol] for symbol in piece.inputs)
    assert text[0] == "B" and text[-1] == "E" and text.count("EB") == continual_reber.STRINGS - 1
    strings = [word for word in text.replace("EB", "E B").split(" ") if word]
    assert np.flatnonzero(piece.begins).tolist() == np.cumsum([0, *map(len, strings[:-1])]).tolist()
    assert all(word[1] == word[-2] and len(word) >= 9 for word in strings)
    for n, (_, following) in enumerate(pairwise(piece.inputs)):
        assert piece.targets[n, following] == 1 and 1 <= piece.targets[n].sum() <= 2
    assert piece.targets[-1].tolist() == (np.arange(7) == reber.B).tolist()
    assert piece.done.all() and piece.when.all()
    assert (piece.resets == piece.begins).all() if external else not piece.resets.any()


@pytest.mark.parametrize("shape", periodic_functions.SHAPES)
def test_functions_have_their_period(random: np.random.Generator, shape: str) -> None:
    piece = periodic_functions.periods(shape, 10)(random)
    assert (piece.targets[10:] == piece.targets[:-10]).all() and piece.targets.max() == 1 and piece.targets[0] == 0
    assert np.flatnonzero(piece.begins)[:2].tolist() == [0, 10] and np.flatnonzero(piece.done)[:2].tolist() == [9, 19]
    assert not piece.inputs.any() and piece.when.all()


@pytest.mark.parametrize("task", ["measure", "generate"])
def test_spikes_come_at_their_times(random: np.random.Generator, task: str) -> None:
    piece = timed_spikes.spikes(task, 10, 2)(random)
    spike, told = (piece.inputs, piece.targets) if task == "measure" else (piece.targets, piece.inputs)
    ends = np.flatnonzero(spike[:, 0])
    apart = np.diff(ends, prepend=-1)
    assert set(apart) == {10, 11, 12} and ends[-1] == len(spike) - 1 and (piece.done == (spike[:, 0] == 1)).all()
    begins = np.flatnonzero(piece.begins)
    assert begins.tolist() == [0, *(ends[:-1] + 1)]
    assert (told[ends if task == "measure" else begins, 0] == (apart - 10) / 2 + (task == "generate")).all()
    assert piece.when.tolist() == (piece.done.tolist() if task == "measure" else [True] * len(spike))
    assert np.count_nonzero(told) == (np.count_nonzero(apart > 10) if task == "measure" else len(ends))


def test_data_go_on_without_a_gap() -> None:
    def counted(random: np.random.Generator) -> Piece:
        steps = int(random.integers(3, 9))
        every = np.ones(steps, dtype=bool)
        values = random.random((steps, 1))
        return Piece(values, values, every, np.arange(steps) == 0, every, ~every)

    data, both = Endless([3, 4], LEARN, counted), np.array([True, True])
    wide = data.window(40, both).inputs[:, :, 0]
    kept = data.state()
    taken: list[list[float]] = [[], []]
    for steps in ([2, 7], [0, 5], [9, 1], [7, 7]):
        window = data.window(9, both).inputs[:, :, 0]
        for n in range(2):
            taken[n] += window[: steps[n], n].tolist()
        data.go_on(np.array(steps))
    assert all(taken[n] == wide[: len(taken[n]), n].tolist() for n in range(2))
    data.next_beginning(1)
    firsts = {float(counted(stream(4, LEARN, part)).inputs[0, 0]) for part in range(20)}
    assert float(data.window(1, both).inputs[0, 1, 0]) in firsts
    data.restore(kept)
    assert data.window(40, both).inputs[:, :, 0].tolist() == wide.tolist()


def test_nets_have_the_papers_weights() -> None:
    assert weights_of(continual_reber.make_net([0], **FORGET)) == 424
    assert weights_of(continual_reber.make_net([0], keeps=1.0, rate=0.5, decay=1.0)) == 424 - 4 * 16
    net = continual_reber.make_net([0], **FORGET)
    assert net.parameters["b_f"][0].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert net.parameters["b_i"][0].tolist() == net.parameters["b_o"][0].tolist() == [-0.5, -1.0, -1.5, -2.0]
    for peepholes, weights in ((True, 17), (False, 14)):
        net = timing_net([0], peepholes=peepholes, output=ca.sigmoid, rate=1e-5, momentum=0.99)
        assert weights_of(net) == weights and net.parameters["b_f"].item() == -2


class Said:
    """A net that says what it is told to say, in place of one that learns."""

    def __init__(self, says: list[float]):
        self.says, self.at, self.took = torch.tensor(says, dtype=torch.float64), 0, []

    def learn(self, inputs, *, targets, starts, lengths, begins, tolerance):
        y, rests = torch.zeros(len(inputs), 1, 1, dtype=torch.float64), False
        self.taken = torch.zeros(len(inputs), 1, dtype=torch.bool)
        for t in range(lengths[0]):
            rests = rests and not begins[t, 0]
            if rests:
                continue
            y[t], self.taken[t], self.at = self.says[self.at], True, self.at + 1
            rests = bool((y[t] - targets[t]).abs() > tolerance)
        self.took.append((int(lengths[0]), self.taken[:, 0].nonzero().flatten().tolist()))
        return y

    def predict(self, inputs, **given):
        self.taken = torch.ones(len(inputs), 1, dtype=torch.bool)
        return torch.zeros(len(inputs), 1, 1, dtype=torch.float64)


@pytest.mark.parametrize("most", [9, 3])
def test_a_stream_ends_at_its_first_error_or_at_the_limit(most: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(random: np.random.Generator) -> Piece:
        every = np.ones(100, dtype=bool)
        return Piece(np.zeros((100, 1)), np.zeros((100, 1)), every, np.arange(100) % 2 == 0, every, ~every)

    net = Said([0, 0, 0.31, 0.3, -0.4, *[0] * 90])  # off by more than 0.3 at the third and the fifth step
    rules = Rules(0.3, limit=6, test_limit=5, tests=2, always=False, streams=most)
    (trial,) = Streams(Work([0], tmp_path), net, nothing, rules).run()
    assert trial == {"solved": 1, "streams": 3, "root mean square": 0.0, "test length": 5.0}
    assert net.at == 3 + 2 + 6  # the step with the error was learned, those after it were not
    assert net.took == [(6, [0, 1, 2, 4, 5]), (6, [0, 1, 2, 3, 4, 5])]


def test_no_more_streams_are_learned_than_asked_for(tmp_path) -> None:
    def nothing(random: np.random.Generator) -> Piece:
        every = np.ones(100, dtype=bool)
        return Piece(np.zeros((100, 1)), np.zeros((100, 1)), every, np.arange(100) % 2 == 0, every, ~every)

    net = Said([1.0] * 90)
    rules = Rules(0.3, limit=50, test_limit=5, tests=1, always=False, streams=7)
    (trial,) = Streams(Work([0], tmp_path), net, nothing, rules).run()
    assert net.at == 7 and trial["solved"] == 1


def one_by_one(seed: int, count: int) -> dict[str, torch.Tensor]:
    """The weights after so many streams, learned symbol by symbol."""
    net = continual_reber.make_net([seed], **FORGET)
    piece = continual_reber.without_end(False)(stream(seed, LEARN, 0))
    at = 0
    for _ in range(count):
        fresh, wrong = True, False
        while not wrong:
            target = torch.from_numpy(piece.targets[at]).view(1, 1, 7)
            y = net.learn(torch.tensor([[piece.inputs[at]]]), target, starts=torch.tensor([[fresh]]))
            wrong, fresh, at = bool(((y - target).abs() > 0.49).any()), False, at + 1
        at += int(piece.begins[at:].argmax())
    return net.parameters


@pytest.mark.parametrize("narrowest", [1, 32])
def test_windows_change_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch, narrowest: int) -> None:
    monkeypatch.setattr(streams, "NARROWEST", narrowest)
    net = continual_reber.make_net([5, 6], **FORGET)
    rules = Rules(0.49, 1_000, 1_000, tests=2, always=True, streams=25)
    Streams(Work([5, 6], tmp_path), net, continual_reber.without_end(False), rules).run()
    for n, seed in enumerate((5, 6)):
        for name, weights in one_by_one(seed, 25).items():
            assert torch.equal(net.parameters[name][n], weights[0]), name


@pytest.mark.parametrize("task", ["measure", "generate"])
def test_windows_of_several_streams_change_nothing(task: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for steps in (7, 64, 1_024):
        monkeypatch.setattr(streams, "MANY", steps)
        net = timing_net([3, 4], peepholes=True, output=ca.sigmoid, rate=0.1, momentum=0.9)
        rules = Rules(0.49, limit=9, test_limit=20, tests=1, always=False, streams=300)
        trials = Streams(Work([3, 4], tmp_path), net, timed_spikes.spikes(task, 4, 1), rules).run()
        found.append((trials, net.state_dict()))
    for trials, state in found[1:]:
        assert trials == found[0][0]
        for name in state.keys() - {"gradient"}:  # that of the last step of the window
            assert torch.equal(state[name], found[0][1][name]), name


@pytest.mark.parametrize("name", SMALL)
def test_experiments_run_and_resume(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MANY", 16)
    experiment = get(name)
    for setting in experiment.settings:
        options = {**setting.options, **SMALL[name]}
        whole = experiment.run(Work([1, 2], tmp_path / setting.name), **options)
        assert len(whole) == 2 and all("test length" in trial for trial in whole)
    alone = experiment.run(Work([2], tmp_path / "alone"), **options)
    assert alone == whole[1:]
    work, left = Work([1, 2], tmp_path / "stopped"), [3]

    def stop(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr("carousel.reproduce.online.streams.KEPT_EVERY", -1.0)
    monkeypatch.setattr(work, "progress", stop)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(work, **options)
    assert work.load() is not None
    assert experiment.run(Work([1, 2], tmp_path / "stopped"), **options) == whole
