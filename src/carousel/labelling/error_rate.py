"""Label error rate: how far transcripts are from what was said."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein


class ErrorRate(NamedTuple):
    """Errors of each utterance, arrays (utterances,) of whole numbers, and how long its reference is."""

    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    lengths: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """The edit distance of each utterance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """All errors over all labels of the references: 0.1 is one error in ten labels. It may be above 1."""
        return float(self.errors.sum() / self.lengths.sum())

    def interval(self, level: float = 0.95, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """A confidence interval of `rate`, by drawing utterances anew (the percentile bootstrap).

        Utterances are drawn with replacement, as many as there are (Bisani & Ney, "Bootstrap estimates for confidence
        intervals in ASR performance evaluation", ICASSP 2004). It tells of the chance
        in the choice of utterances, not in training.

        Raises ValueError for a level outside 0 to 1, or no samples.

        >>> found = label_error_rate(["cat", "dog", "cow"], ["cat", "dot", "crow"])
        >>> low, high = found.interval()
        >>> low <= found.rate <= high
        True
        """
        if not 0 < level < 1 or samples < 1:
            raise ValueError(
                f"ErrorRate: level is {level} and samples {samples}, expected a level between 0 and 1, and a sample."
            )
        draw, N = np.random.default_rng(seed), len(self.lengths)
        errors, rates = self.errors, np.empty(samples)
        for k in range(samples):
            chosen = draw.integers(N, size=N)
            rates[k] = errors[chosen].sum() / max(1, self.lengths[chosen].sum())
        low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def label_error_rate(hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]) -> ErrorRate:
    """The edit distance of each hypothesis from its reference, over the length of all references.

    Graves et al. (2006), doi:10.1145/1143844.1143891, equation 2, but errors and labels are added up over utterances
    before they are divided, as is usual in speech recognition. Where several sequences of edits are the shortest, which
    of them is counted is not defined; their number is.

    Args:
        hypotheses, references: for each utterance a sequence of labels: whole numbers, strings (their characters are
            the labels), or lists of words, whose error rate is the word error rate.

    Raises:
        ValueError: where there are not as many of both, or no label at all in the references.

    >>> found = label_error_rate(["cat", "dog"], ["cart", "dot"])
    >>> round(found.rate, 4), found.deletions.tolist(), found.substitutions.tolist()
    (0.2857, [1, 0], [0, 1])
    >>> label_error_rate(["a big cat".split()], ["the big cat".split()]).errors.tolist()
    [1]
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"label_error_rate: there are {len(hypotheses)} hypotheses for {len(references)} references.")
    lengths = np.array([len(reference) for reference in references], dtype=np.int64)
    if not lengths.sum():
        raise ValueError("label_error_rate: the references have no label at all, so there is no rate.")
    counts = np.array([_edits(*pair) for pair in zip(hypotheses, references, strict=True)], dtype=np.int64)
    return ErrorRate(counts[:, 0], counts[:, 1], counts[:, 2], lengths)


def _edits(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> tuple[int, int, int]:
    """Substitutions, deletions, insertions."""
    numbers: dict[Hashable, int] = {}  # the library compares by hash alone
    said, heard = ([numbers.setdefault(label, len(numbers)) for label in side] for side in (reference, hypothesis))
    kinds = [edit.tag for edit in Levenshtein.editops(said, heard)]
    return kinds.count("replace"), kinds.count("delete"), kinds.count("insert")
