"""Counting languages: strings, weights, how far a net counts, and a tiny run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import carousel as ca
from carousel.reproduce.experiment import Setting
from carousel.reproduce.papers import counting
from carousel.reproduce.papers.lstm_1997_nets import weights_of
from carousel.reproduce.work import Work


@pytest.mark.parametrize("letters", [2, 3])
def test_targets_are_the_symbols_that_the_language_allows(letters: int) -> None:
    language = ["".join(letter * k for letter in "abc"[:letters]) + "T" for k in range(20)]
    drawn = counting.strings(letters, [1, 2, 5])
    for n, start, end in zip([1, 2, 5], drawn.starts, drawn.ends + 1, strict=True):
        word = "".join("Sabc"[k] for k in drawn.inputs[start:end].argmax(axis=1))
        assert word + "T" == "S" + language[n] and (np.sort(drawn.inputs[start:end])[:, :-1] == -1).all()
        for step, target in enumerate(drawn.targets[start:end]):
            prefix = word[1 : step + 1]
            allowed = {one[step] for one in language if one.startswith(prefix) and len(one) > step}
            assert {"abcT"[k] if k < letters else "T" for k in np.flatnonzero(target > 0)} == allowed
    assert set(np.unique(drawn.targets)) == {-0.5, 0.5}


def test_strings_are_short() -> None:
    drawn = counting.short(3)(np.random.default_rng(0), 300)
    assert set(drawn.lengths) == {1 + 3 * n for n in range(1, 11)}


@pytest.mark.parametrize(("letters", "weights"), [(2, 38), (3, 90)])
def test_nets_have_the_papers_number_of_weights(letters: int, weights: int) -> None:
    assert weights_of(counting.counter([0], letters, ca.SGD(1e-5))) == weights


def test_gates_start_open_or_closed_and_cells_are_squashed_or_not() -> None:
    x = torch.full((1, 1, 4), 1.0, dtype=torch.float64)
    for starts, bias in (("open", 4.0), ("closed", -2.0)):
        nets = [counting.counter([5], 3, ca.SGD(0.0), out, starts) for out in ("tanh", "identity")]
        assert all(net.parameters["b_i"][0, 1] == bias for net in nets)
        for net in nets:
            net.parameters["b_c"][:] = 3.0
        one, other = (net.predict(x) for net in nets)
        assert (one != other).any()


class Counts:
    """Stands for nets that know the strings up to one n each, and for the second net not the one with n = 12."""

    def predict(self, inputs, starts, lengths):
        y = torch.full((*inputs.shape[:2], 3), 1.0)
        for k, most in enumerate([23, 40, 500]):
            marks = [*np.flatnonzero(starts[:, k]), int(lengths[k])]
            for start, end in zip(marks, marks[1:], strict=False):
                n = (end - start) // 2
                if n <= most and (k, n) != (1, 12):
                    y[start:end, k] = 0.1 * torch.from_numpy(counting.strings(2, [n]).targets)
        return y

    def state_dict(self):
        return {}

    def learn(self, inputs, targets, when, starts, lengths):
        return targets


def test_how_far_a_net_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "counter", lambda seeds, letters, rule, out: Counts())
    monkeypatch.setattr(counting, "CAP", 60)
    options = {"rule": "gradient", "options": {"rate": 1.0}, "every": 500, "limit": 2_000, "out": "identity"}
    first, second, third = counting.run(Work([0, 1, 2], tmp_path), letters=2, **options)
    assert (first["solved"], first["sequences"], first["farthest"], first["to n = 1,000"]) == (1, 500, 23, 0)
    assert first["farthest by strings"] == [(1_000, 23), (2_000, 23)]
    assert second["farthest"] == 11
    assert third["to n = 1,000"] == 1 and third["farthest by strings"] == [(500, 60)] and third["beyond"] == 480


@pytest.mark.parametrize("setting", counting.anbncn.settings, ids=lambda setting: setting.name)
def test_trials_depend_on_their_seeds_alone(tmp_path: Path, setting: Setting) -> None:
    options = {**setting.options, "every": 20, "limit": 40}
    both = counting.run(Work([3, 4], tmp_path / "both"), **options)
    assert counting.run(Work([4], tmp_path / "one"), **options) == both[1:]
