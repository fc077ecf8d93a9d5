"""Counting languages: strings, acceptance, weights, and how far is far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.reproduce import counting
from carousel.reproduce.lstm_1997_nets import weights_of
from carousel.reproduce.work import Work


@pytest.mark.parametrize("letters", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_targets_are_the_symbols_that_the_language_allows(letters: int, n: int) -> None:
    language = ["".join(letter * k for letter in "abc"[:letters]) + "T" for k in range(1, 3 * n + 3)]
    inputs, targets = counting.string(n, letters)
    word = "".join("Sabc"[k] for k in inputs.argmax(axis=1))
    assert word + "T" == "S" + language[n - 1] and (np.sort(inputs)[:, :-1] == -1).all()
    for step, target in enumerate(targets):
        prefix = word[1 : step + 1]
        allowed = {one[step] for one in language if one.startswith(prefix) and len(one) > step}
        assert {"abcT"[k] if k < letters else "T" for k in np.flatnonzero(target > 0)} == allowed


@pytest.mark.parametrize(("letters", "weights"), [(2, 38), (3, 90)])
def test_nets_have_the_papers_number_of_weights(letters: int, weights: int) -> None:
    assert weights_of(counting.by_gradient([0], letters, rate=1e-5, momentum=0.99)) == weights


def test_a_string_is_accepted_when_every_sign_is_right() -> None:
    drawn = counting.strings([1, 2], 2)
    outputs = 0.1 * drawn.targets
    assert counting.accepted(drawn, outputs).tolist() == [True, True]
    outputs[-1, 0] = 0.1
    assert counting.accepted(drawn, outputs).tolist() == [True, False]


class Counts:
    """Stands for nets that count to 23 and no farther."""

    def predict(self, inputs, starts, lengths):
        y = torch.full_like(inputs, -1.0)
        for n in range(inputs.shape[1]):
            marks = [*np.flatnonzero(starts[:, n]), int(lengths[n])]
            for start, end in zip(marks, marks[1:], strict=False):
                size = (end - start) // 2
                y[start:end, n] = torch.from_numpy(counting.string(size, 2)[1]) if size <= 23 else 1.0
        return y

    def state_dict(self):
        return {}

    def learn(self, inputs, targets, when, starts, lengths):
        return targets


def test_how_far_a_net_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(counting.METHODS, "gradient", lambda seeds, letters: Counts())
    for farthest, found in ((1_000, 23), (15, 15)):
        trials = counting.run(
            Work([0], tmp_path / str(farthest)), letters=2, method="gradient", limit=1_000, farthest=farthest
        )
        assert trials == [{"solved": 1, "sequences": 100, "farthest": found}]
