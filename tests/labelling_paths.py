"""Connectionist temporal classification by enumeration: every path through the frames, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def collapse(path: Sequence[int], blank: int) -> tuple[int, ...]:
    """What a path says: repetitions dropped, then blanks."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def paths(log_probs: Tensor) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every path of log_probs (T, K) with its log-probability."""
    T, K = log_probs.shape
    for path in itertools.product(range(K), repeat=T):
        yield path, sum((log_probs[t, k] for t, k in enumerate(path)), log_probs.new_zeros(()))


def transcripts(log_probs: Tensor, blank: int) -> dict[tuple[int, ...], Tensor]:
    """Every transcript that log_probs (T, K) allow, with the log-probability that all its paths have together."""
    found: dict[tuple[int, ...], list[Tensor]] = {}
    for path, value in paths(log_probs):
        found.setdefault(collapse(path, blank), []).append(value)
    return {labels: torch.stack(values).logsumexp(0) for labels, values in found.items()}


def best_path_of(log_probs: Tensor, labels: Sequence[int], blank: int) -> tuple[tuple[int, ...], float]:
    """The most probable path of one transcript."""
    own = ((path, float(value)) for path, value in paths(log_probs) if collapse(path, blank) == tuple(labels))
    return max(own, key=lambda pair: pair[1])
