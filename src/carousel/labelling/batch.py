"""What a user may pass as a batch of frames and transcripts, checked and brought to one layout.

Legend: T frames, B batch, K labels with the blank, S labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.layers.inputs import read_lengths

Labels = Sequence[int] | Tensor
Targets = Sequence[Labels] | Labels
REDUCTIONS = ("mean", "sum", "none")
LEAST = -1e30  # of a log-probability; sums of smaller ones are not finite


class Frames(NamedTuple):
    """Log-probabilities (T, B, K), finite past each end; lengths (B,) int64 on the CPU; whether there was a batch."""

    log_probs: Tensor
    lengths: Tensor
    batched: bool

    def samples(self) -> list[Tensor]:
        """Those of each sample, (its T, K) float32, contiguous on the CPU."""
        rows = self.log_probs.detach().float().transpose(0, 1).cpu().contiguous()
        return [row[:length] for row, length in zip(rows, self.lengths.tolist(), strict=True)]


class Transcripts(NamedTuple):
    """Labels (B, S) int64 on the CPU, padded with the blank, and how many there are, (B,)."""

    labels: Tensor
    lengths: Tensor

    def needed(self) -> Tensor:
        """How many frames each needs, (B,): one a label, and one for the blank between equal ones."""
        inside = torch.arange(1, self.labels.shape[1]) < self.lengths[:, None]
        again = (self.labels[:, 1:] == self.labels[:, :-1]) & inside
        return self.lengths + again.sum(1)


def read_frames(name: str, scores: Tensor, lengths: Tensor | Sequence[int] | None, blank: int) -> Frames:
    """The log-softmax of scores (T, B, K) or (T, K). What lies past a sample's end is not read.

    Raises TypeError, ValueError for another type, shape or dtype, and for a blank that is no label.
    """
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        given = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"{name}: scores is {given}, expected a tensor of floats.")
    if scores.dim() not in (2, 3) or scores.shape[-1] < 1:
        raise ValueError(f"{name}: scores has shape {tuple(scores.shape)}, expected (T, B, K) or (T, K).")
    check_blank(name, blank, scores.shape[-1])
    batched = scores.dim() == 3
    major = scores if batched else scores.unsqueeze(1)
    T, B, _ = major.shape
    if B == 0:
        raise ValueError(f"{name}: scores has shape {tuple(scores.shape)}: there is no sample in the batch.")
    read = read_lengths(name, lengths, T, B)
    if read is not None:
        inside = torch.arange(T)[:, None] < read
        major = major.masked_fill(~inside.to(major.device).unsqueeze(-1), 0)
    wide = major.float() if major.dtype in (torch.float16, torch.bfloat16) else major
    return Frames(wide.log_softmax(-1), torch.full((B,), T) if read is None else read, batched)


def check_blank(name: str, blank: int, K: int) -> None:
    if not isinstance(blank, int) or isinstance(blank, bool) or not 0 <= blank < K:
        raise ValueError(f"{name}: blank is {blank!r}, expected one of the K = {K} labels: 0 to {K - 1}.")


def read_targets(
    name: str, targets: Targets, lengths: Tensor | Sequence[int] | None, B: int, batched: bool, K: int, blank: int
) -> Transcripts:
    """Transcripts, from a list of B label sequences, or from a padded tensor (B, S) with its lengths (B,).

    Raises TypeError, ValueError, naming the sample, for labels that are not there, the blank among them.
    """
    rows = _rows(name, targets if batched else [targets], lengths, B)
    for b, row in enumerate(rows):
        _check_labels(name, b, row, K, blank)
    count = torch.tensor([len(row) for row in rows])
    padded = torch.full((B, max(1, int(count.max()))), blank)
    for b, row in enumerate(rows):
        padded[b, : len(row)] = row
    return Transcripts(padded, count)


def _rows(name: str, targets: Any, lengths: Tensor | Sequence[int] | None, B: int) -> list[Tensor]:
    if isinstance(targets, Tensor) and targets.dim() != 2:
        raise ValueError(
            f"{name}: targets has shape {tuple(targets.shape)}, expected (B, S) with target_lengths, or a list of B "
            f"sequences of labels."
        )
    if len(targets) != B:
        raise ValueError(f"{name}: there are {len(targets)} targets for B = {B} samples.")
    if isinstance(targets, Tensor):
        ends = read_lengths(f"{name}: target_lengths", lengths, targets.shape[1], B)
        if ends is None:
            raise ValueError(f"{name}: targets is a padded tensor (B, S), so target_lengths (B,) has to be given.")
        cut = [row[:end] for row, end in zip(targets.cpu(), ends.tolist(), strict=True)]
        return [_row(name, b, row) for b, row in enumerate(cut)]
    if lengths is not None:
        raise ValueError(
            f"{name}: target_lengths was given with a list of targets, which have their own. Leave it out."
        )
    return [_row(name, b, row) for b, row in enumerate(targets)]


def _row(name: str, b: int, labels: Labels) -> Tensor:
    row = labels.cpu() if isinstance(labels, Tensor) else torch.tensor(list(labels))
    if row.numel() == 0:
        return torch.empty(0, dtype=torch.int64)
    if row.dim() != 1 or row.is_floating_point() or row.is_complex() or row.dtype == torch.bool:
        raise TypeError(
            f"{name}: target {b} has dtype {row.dtype} and shape {tuple(row.shape)}, expected whole numbers (S,)."
        )
    return row.to(torch.int64)


def _check_labels(name: str, b: int, row: Tensor, K: int, blank: int) -> None:
    wrong = ((row < 0) | (row >= K)).nonzero()
    if len(wrong):
        s = int(wrong[0])
        raise ValueError(
            f"{name}: label {s} of target {b} is {int(row[s])}, expected 0 to {K - 1} (scores has K = {K})."
        )
    blanks = (row == blank).nonzero()
    if len(blanks):
        raise ValueError(
            f"{name}: label {int(blanks[0])} of target {b} is {blank}, which is the blank. Targets are transcripts "
            f"without blanks; is blank= the right label?"
        )


def find_faults(frames: Frames, transcripts: Transcripts | None = None) -> dict[int, str]:
    """The samples that have no finite loss, and why."""
    found: dict[int, str] = {}
    if transcripts is not None:
        for b in (transcripts.needed() > frames.lengths).nonzero().flatten().tolist():
            count, needed, T = (int(v[b]) for v in (transcripts.lengths, transcripts.needed(), frames.lengths))
            found[b] = f"has {T} frames, but its target of {count} labels needs {needed} (equal labels in a row need a "
            found[b] += "blank between them)"
    log_probs = frames.log_probs.detach()
    if log_probs.numel() and not bool(log_probs.min() > LEAST):  # False for NaN, which min() hands on
        finite = log_probs > LEAST
        for b in (~finite).any(-1).any(0).nonzero().flatten().tolist():
            t = int((~finite[:, b]).any(-1).nonzero()[0])
            found[b] = f"has scores that are not finite, first at frame {t}"
    return found


def raise_fault(name: str, faults: dict[int, str], advice: str = "") -> None:
    """ValueError that names the first sample of `faults`, if there is one."""
    if faults:
        b = min(faults)
        more = f" So it is with {len(faults) - 1} more of the batch." if len(faults) > 1 else ""
        raise ValueError(f"{name}: sample {b} {faults[b]}.{more}{advice}")


def check_reduction(name: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction is {reduction!r}, expected one of: {', '.join(REDUCTIONS)}.")


def reduced(losses: Tensor, transcripts: Transcripts, batched: bool, reduction: str) -> Tensor:
    """Losses (B,) of transcripts as `ctc_loss` returns them."""
    if reduction == "none":
        return losses if batched else losses[0]
    if reduction == "sum":
        return losses.sum()
    return (losses / transcripts.lengths.clamp(min=1).to(losses.device)).mean()
