"""Runs trials side by side until their most recent sequences were learned, and tests each at that moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from carousel.reproduce.online.criteria import MostRecent
from carousel.reproduce.online.lanes import Lanes, Learned
from carousel.reproduce.online.sequences import Numbers
from carousel.reproduce.work import Trial

TESTED = 2_560  # fresh sequences, in all experiments of the 1997 paper that report a test


def until_most_recent(
    lanes: Lanes,
    criterion: MostRecent,
    *,
    tested: int = TESTED,
    only_last: bool = False,
    look: Callable[[Numbers, int], None] | None = None,
) -> list[Trial]:
    """Learn until each trial's most recent sequences meet the criterion; stop it at that very sequence and test it.

    Args:
        tested: on how many fresh sequences.
        only_last: whether the last step of a sequence alone counts, where all have targets.
        look: called with each trial's mean error and the number of sequences, after each chunk.
    """
    if lanes.resume():
        criterion.restore(lanes.kept)
    for learned in lanes.learn():
        worst, means = errors_of(learned, only_last)
        first = criterion.first(worst, means)
        met = {n: count for n in lanes.active if (count := first[n]) is not None}
        if met:
            lanes.go_back(learned, met)
            _finish(lanes, met, criterion, tested)
        lanes.kept = criterion.state()
        if look is not None:
            look(means.mean(axis=1), means.shape[1])
    return lanes.trials


def errors_of(learned: Sequence[Learned], only_last: bool = False) -> tuple[Numbers, Numbers]:
    """(N, k) the worst and the mean error of each sequence; endless where a trial learned none."""
    size = max(len(one[0].lengths) for one in learned if one)
    worst, means = np.full((len(learned), size), np.inf), np.zeros((len(learned), size))
    for n, one in enumerate(learned):
        if one:
            drawn, errors = one[0], one[0].errors(one[1])
            largest = errors.max(axis=1)
            last = only_last and not drawn.only_at_ends
            worst[n] = largest[drawn.ends] if last else drawn.each(largest, np.maximum)
            means[n] = drawn.each(errors.mean(axis=1), np.add)
            if not drawn.only_at_ends:
                means[n] /= drawn.lengths
    return worst, means


def _finish(lanes: Lanes, met: dict[int, int], criterion: MostRecent, tested: int) -> None:
    errors = lanes.test(list(met), tested) if tested else {}
    for n, count in met.items():
        results: dict[str, float] = {"sequences": lanes.seen + count}
        if tested:
            results["wrong"] = int((errors[n].max(axis=1) >= criterion.tolerance).sum())
            results["squared error"] = float((errors[n] ** 2).mean())
            results["error"] = float(errors[n].mean())
        lanes.finish(n, **results)
