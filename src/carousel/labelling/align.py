"""Alignment of a transcript to frames, by the best path through the lattice of CTC.

Legend: T frames, B batch, K labels with the blank, S labels of a transcript, N = 2 S + 1 states of the lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.labelling.batch import (
    Frames,
    Targets,
    Transcripts,
    find_faults,
    raise_fault,
    read_frames,
    read_targets,
)


class Alignment(NamedTuple):
    """Where the labels of a transcript are.

    `path` (T,): the label of each frame, blanks included. For each of the S labels the frames `starts` to `ends` (the
    first that is no longer its own), and in `scores` the mean log-probability there, in nats. `log_prob`: of the path.
    """

    path: Tensor
    labels: Tensor
    starts: Tensor
    ends: Tensor
    scores: Tensor
    log_prob: float


def ctc_align(
    scores: Tensor,
    targets: Targets,
    lengths: Tensor | Sequence[int] | None = None,
    target_lengths: Tensor | Sequence[int] | None = None,
    *,
    blank: int = 0,
) -> list[Alignment] | Alignment:
    """The most probable path that gives the transcript (Viterbi's, over the lattice of `ctc_loss`).

    Args:
        scores, targets, lengths, target_lengths, blank: as for `ctc_loss`.

    Returns an `Alignment` for each sample, on the CPU; for scores (T, K) of one sample that alone.

    Raises:
        TypeError, ValueError: as `ctc_loss`, also where no path can give the transcript.

    >>> import torch
    >>> scores = torch.eye(3)[[1, 1, 0, 1, 2]] * 9  # the labels 1 1 - 1 2
    >>> found = ctc_align(scores, [1, 1, 2])
    >>> found.starts.tolist(), found.ends.tolist()
    ([0, 3, 4], [2, 4, 5])
    """
    frames = read_frames("ctc_align", scores.detach() if isinstance(scores, Tensor) else scores, lengths, blank)
    _, B, K = frames.log_probs.shape
    transcripts = read_targets("ctc_align", targets, target_lengths, B, frames.batched, K, blank)
    raise_fault("ctc_align", find_faults(frames, transcripts))
    states = _viterbi(frames, transcripts, blank)
    found = [_alignment(frames, transcripts, states, b, blank) for b in range(B)]
    return found if frames.batched else found[0]


def _viterbi(frames: Frames, transcripts: Transcripts, blank: int) -> Tensor:
    """The state (T, B) of each frame; odd ones are labels, even ones blanks. Past a sample's end it is the last one."""
    log_probs, T = frames.log_probs, len(frames.log_probs)
    labels, ends = (v.to(log_probs.device) for v in transcripts)
    lengths = frames.lengths.to(log_probs.device)
    B, S = labels.shape
    lattice = labels.new_full((B, 2 * S + 1), blank)
    lattice[:, 1::2] = labels
    may_skip = torch.zeros_like(lattice, dtype=torch.bool)
    may_skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    best = log_probs.new_full(lattice.shape, -torch.inf)
    best[:, 0] = 0  # before the first frame; from there state 1 is a step, not a skip
    moves = lattice.new_zeros(T, B, 2 * S + 1, dtype=torch.uint8)
    for t in range(T):
        ways = torch.stack([best, _shifted(best, 1), _shifted(best, 2).masked_fill(~may_skip, -torch.inf)])
        value, move = ways.max(0)
        inside = (t < lengths)[:, None]
        best = torch.where(inside, value + log_probs[t].gather(1, lattice), best)
        moves[t] = torch.where(inside, move, 0)
    at_end = best.gather(1, torch.stack([2 * ends, (2 * ends - 1).clamp(min=0)], 1))
    state = 2 * ends - (at_end[:, 1] > at_end[:, 0]).long()
    states = moves.new_zeros(T, B, dtype=torch.int64)
    for t in reversed(range(T)):
        states[t] = state
        state = state - moves[t].gather(1, state[:, None])[:, 0].long()
    return states.cpu()


def _shifted(best: Tensor, by: int) -> Tensor:
    return torch.nn.functional.pad(best[:, :-by], (by, 0), value=-torch.inf)


def _alignment(frames: Frames, transcripts: Transcripts, states: Tensor, b: int, blank: int) -> Alignment:
    T, S = int(frames.lengths[b]), int(transcripts.lengths[b])
    labels, own = transcripts.labels[b, :S], states[:T, b].contiguous()
    numbers = torch.arange(S) * 2 + 1
    path = torch.full((T,), blank)
    path[own % 2 == 1] = labels[own[own % 2 == 1] // 2]
    emitted = frames.log_probs[:T, b].cpu().gather(1, path[:, None])[:, 0]
    starts, ends = torch.searchsorted(own, numbers), torch.searchsorted(own, numbers, right=True)
    summed = torch.cat([emitted.new_zeros(1), emitted.cumsum(0)])
    scores = (summed[ends] - summed[starts]) / (ends - starts)
    return Alignment(path, labels, starts, ends, scores, float(emitted.sum()))
