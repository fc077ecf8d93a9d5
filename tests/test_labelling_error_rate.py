"""Label error rate: the library's distance against the textbook's table, and the bootstrap against the exact one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import carousel as ca


def table(hypothesis: list[int], reference: list[int]) -> int:
    """The edit distance, by Wagner and Fischer's table."""
    rows = [[i + j if i * j == 0 else 0 for j in range(len(hypothesis) + 1)] for i in range(len(reference) + 1)]
    for i, j in itertools.product(range(1, len(reference) + 1), range(1, len(hypothesis) + 1)):
        differs = reference[i - 1] != hypothesis[j - 1]
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differs)
    return rows[-1][-1]


sequences = st.lists(st.integers(0, 3), max_size=8)


@given(st.lists(st.tuples(sequences, sequences), min_size=1, max_size=4))
def test_errors_are_the_edit_distance(pairs: list[tuple[list[int], list[int]]]) -> None:
    hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
    if not any(references):
        with pytest.raises(ValueError, match="no label at all"):
            ca.label_error_rate(hypotheses, references)
        return
    found = ca.label_error_rate(hypotheses, references)
    assert found.errors.tolist() == [table(h, r) for h, r in pairs]
    grown = [len(h) - len(r) for h, r in pairs]
    assert (found.insertions - found.deletions).tolist() == grown
    assert found.rate == sum(found.errors) / sum(map(len, references))


def test_labels_are_compared_not_their_hashes() -> None:
    assert ca.label_error_rate([[-1, "a"]], [[-2, 97]]).errors.tolist() == [2]


def test_interval() -> None:
    """Of utterances of one label each, wrong with probability 0.2, near the binomial's."""
    wrong = np.arange(400) % 5 == 0
    found = ca.label_error_rate(["b" if w else "a" for w in wrong], ["a"] * 400)
    low, high = found.interval(samples=4000)
    assert found.rate == 0.2
    assert abs(low - (0.2 - 1.96 * 0.02)) < 0.004 and abs(high - (0.2 + 1.96 * 0.02)) < 0.004
    assert found.interval(seed=3) == found.interval(seed=3) != found.interval(seed=4)
    wider = found.interval(0.99)
    assert wider[0] < low < high < wider[1]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 hypotheses for 2 references"):
        ca.label_error_rate(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="level is 2"):
        ca.label_error_rate(["a"], ["a"]).interval(2)
