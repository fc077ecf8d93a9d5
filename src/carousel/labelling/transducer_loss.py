"""The loss of the transducer.

Legend: T frames, B batch, K labels with the blank, U labels of the longest transcript.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from carousel.labelling.batch import (
    LEAST,
    Targets,
    Transcripts,
    check_blank,
    check_reduction,
    raise_fault,
    read_targets,
    reduced,
)
from carousel.labelling.transducer_lattice import lattice_losses
from carousel.layers.inputs import read_lengths


def transducer_loss(
    scores: Tensor,
    targets: Targets,
    lengths: Tensor | Sequence[int] | None = None,
    target_lengths: Tensor | Sequence[int] | None = None,
    *,
    blank: int = 0,
    reduction: str = "mean",
) -> Tensor:
    """-ln p(target | frames) of a transducer, summed over all ways to write the labels while the frames go by.

    Graves, "Sequence transduction with recurrent neural networks", 2012, arXiv:1211.3711, equations 16 to 20: forward
    and backward variables, the derivative exact. At frame t, with u labels written, the blank goes on to frame t + 1,
    and label u + 1 is written at the same frame; the last step is a blank at the last frame.

    `Transducer.loss` gives the same without ever holding all scores.

    Args:
        scores: (T, B, U + 1, K), or (T, U + 1, K) for one sample: at [t, b, u] what follows where u labels are
            written, before the softmax, or log-probabilities.
        targets, lengths, target_lengths, blank, reduction: as for `ctc_loss`.

    Raises:
        TypeError, ValueError: as `ctc_loss`. Any transcript can be aligned to one frame or more.

    >>> scores = torch.zeros(2, 2, 3)  # two frames, one label to write, three labels equally likely
    >>> loss = transducer_loss(scores, [1], reduction="none")  # two paths, of three steps each
    >>> round(27 * (-loss).exp().item(), 5)
    2.0
    """
    name = "transducer_loss"
    check_reduction(name, reduction)
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        given = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"{name}: scores is {given}, expected a tensor of floats.")
    if scores.dim() not in (3, 4) or 0 in scores.shape[1:]:
        raise ValueError(f"{name}: scores has shape {tuple(scores.shape)}, expected (T, B, U + 1, K) or (T, U + 1, K).")
    check_blank(name, blank, scores.shape[-1])
    batched = scores.dim() == 4
    major = scores if batched else scores.unsqueeze(1)
    T, B, U1, K = major.shape
    transcripts = read_targets(name, targets, target_lengths, B, batched, K, blank)
    if int(transcripts.lengths.max()) >= U1:
        raise ValueError(
            f"{name}: scores has shape {tuple(scores.shape)}, expected U + 1 = {int(transcripts.lengths.max()) + 1} in "
            f"its last axis but one: the longest target has {int(transcripts.lengths.max())} labels."
        )
    frames = frames_of(name, read_lengths(name, lengths, T, B), T, B)
    inside = lattice_mask(frames, transcripts, T, U1).to(major.device)
    columns = blank_and_label(major.masked_fill(~inside.unsqueeze(-1), 0), transcripts, blank)
    check_columns(name, columns, inside)
    return reduced(lattice_losses(*columns, frames, transcripts.lengths), transcripts, batched, reduction)


def frames_of(name: str, lengths: Tensor | None, T: int, B: int) -> Tensor:
    """How many frames each sample has, (B,); ValueError where one has none."""
    frames = torch.full((B,), T) if lengths is None else lengths
    none = (frames == 0).nonzero().flatten().tolist()
    raise_fault(name, dict.fromkeys(none, "has no frame, and a transducer ends with a blank at the last one"))
    return frames


def lattice_mask(frames: Tensor, transcripts: Transcripts, T: int, U1: int) -> Tensor:
    """(T, B, U + 1): where each sample's lattice is."""
    u = torch.arange(U1) <= transcripts.lengths[:, None]
    return (torch.arange(T)[:, None] < frames).unsqueeze(-1) & u


def blank_and_label(scores: Tensor, transcripts: Transcripts, blank: int) -> tuple[Tensor, Tensor]:
    """Of scores (t, B, U + 1, K) the log-probabilities (t, B, U + 1) of the blank and of the next label (the blank once
    more where there is none)."""
    wide = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    t, B, U1, _ = wide.shape
    following = torch.full((B, U1), blank)
    S = min(U1, transcripts.labels.shape[1])
    following[:, :S] = transcripts.labels[:, :S]
    index = following.to(wide.device).expand(t, B, U1).unsqueeze(-1)
    norm = wide.logsumexp(-1)
    return wide[..., blank] - norm, wide.gather(-1, index)[..., 0] - norm


def check_columns(name: str, columns: tuple[Tensor, Tensor], inside: Tensor) -> None:
    """ValueError that names the first sample with a log-probability that is not finite in its lattice."""
    finite = torch.stack([(value.detach() > LEAST) | ~inside for value in columns]).all(0)
    if not bool(finite.all()):
        wrong = (~finite).any(-1)  # (T, B)
        faults = {
            b: f"has scores that are not finite, first at frame {int(wrong[:, b].nonzero()[0])}"
            for b in wrong.any(0).nonzero().flatten().tolist()
        }
        raise_fault(name, faults)
