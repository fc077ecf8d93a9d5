"""The loss of connectionist temporal classification: PyTorch's, with its known faults guarded.

Legend: T frames, B batch, K labels with the blank, S labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel.labelling.batch import (
    Frames,
    Targets,
    Transcripts,
    check_reduction,
    find_faults,
    raise_fault,
    read_frames,
    read_targets,
    reduced,
)

ADVICE = " Leave such samples out of the data, or use CTCLoss(faulty='leave out'), which counts them."


def ctc_loss(
    scores: Tensor,
    targets: Targets,
    lengths: Tensor | Sequence[int] | None = None,
    target_lengths: Tensor | Sequence[int] | None = None,
    *,
    blank: int = 0,
    reduction: str = "mean",
) -> Tensor:
    """-ln p(target | frames), summed over all ways to align them.

    Graves, Fernandez, Gomez & Schmidhuber, "Connectionist temporal classification", ICML 2006,
    doi:10.1145/1143844.1143891, equations 3, 8 and 16. It is `torch.nn.functional.ctc_loss`, guarded against what that
    one lets pass (the numbers are of PyTorch's issues):

    - its gradient is right only behind a log-softmax (#52241, #82545), so one is always taken here; of scores that are
      log-probabilities already, it is these themselves;
    - an alignment that is impossible, equal labels counted, has an infinite loss and NaN in its gradient (#14335,
      #31557): an error that names the sample;
    - scores that are NaN or infinite: an error; also minus infinity for a label that the target does not have, whose
      gradient is NaN. What lies past a sample's end is not read, where PyTorch's log-softmax hands NaN back;
    - labels outside 0 to K - 1 read and write foreign memory (#193794), and blanks within targets change the lattice in
      silence: errors. Empty targets, and samples without a frame (#81459), are what the definition says;
    - cuDNN is never taken: what it takes depends on dtype and device of targets and lengths (#22234, #152421). Lengths
      may be on any device, in any whole dtype;
    - float16 and bfloat16, which it has no kernel for on the CPU, are computed in float32.

    Args:
        scores: (T, B, K), or (T, K) for one sample: the output of a net before its softmax, or log-probabilities.
        targets: for each sample its labels, without blanks: a list of B sequences (one sequence for one sample), or a
            padded tensor (B, S) with `target_lengths`.
        lengths: (B,) how many frames each sample has; None is T.
        blank: which label is the blank.
        reduction: "none" gives (B,), in nats; "sum" adds them; "mean" divides each by the length of its target (at
            least 1) and averages over the batch, as PyTorch does.

    Raises:
        TypeError, ValueError: as above, and for shapes and dtypes that do not fit.

    >>> import torch
    >>> scores = torch.zeros(2, 3)  # two frames, three labels, all equally likely
    >>> loss = ctc_loss(scores, [1], reduction="none")  # of 9 paths three give [1]: 1 1, 1 -, - 1
    >>> round(loss.exp().item(), 6)
    3.0
    """
    frames, transcripts = _read("ctc_loss", scores, targets, lengths, target_lengths, blank, reduction)
    raise_fault("ctc_loss", find_faults(frames, transcripts), ADVICE)
    return reduced(_losses(frames, transcripts, blank), transcripts, frames.batched, reduction)


class CTCLoss(nn.Module):
    """`ctc_loss` as a module, which may leave faulty samples out and count them.

    Args:
        blank, reduction: as for `ctc_loss`.
        faulty: what to do with samples whose alignment is impossible or whose scores are not finite: "raise", or "leave
            out" of the loss and of its gradient. With reduction "none" their loss is 0. Labels that are not there raise
            all the same: they are mistakes in the data's coding.

    `left_out` counts the samples left out so far, `faults` says for each of the last batch why. Where none remains the
    loss is 0, with a gradient of zeros.

    Raises TypeError, ValueError as `ctc_loss`.

    >>> import torch
    >>> loss = CTCLoss(faulty="leave out")
    >>> value = loss(torch.randn(3, 2, 5), [[1, 2], [4, 4, 4]])
    >>> loss.left_out, loss.faults
    (1, {1: 'has 3 frames, but its target of 3 labels needs 5 (equal labels in a row need a blank between them)'})
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", faulty: str = "raise") -> None:
        super().__init__()
        if faulty not in ("raise", "leave out"):
            raise ValueError(f"CTCLoss: faulty is {faulty!r}, expected 'raise' or 'leave out'.")
        self.blank, self.reduction, self.faulty = blank, reduction, faulty
        self.left_out = 0
        self.faults: dict[int, str] = {}

    def forward(
        self,
        scores: Tensor,
        targets: Targets,
        lengths: Tensor | Sequence[int] | None = None,
        target_lengths: Tensor | Sequence[int] | None = None,
    ) -> Tensor:
        """The loss, as `ctc_loss` gives it."""
        given = targets, lengths, target_lengths, self.blank, self.reduction
        frames, transcripts = _read("CTCLoss", scores, *given)
        self.faults = find_faults(frames, transcripts)
        if self.faulty == "raise":
            raise_fault("CTCLoss", self.faults, ADVICE)
        self.left_out += len(self.faults)
        kept = torch.tensor([b not in self.faults for b in range(len(frames.lengths))])
        if self.faults:  # NaN has to go before the log-softmax, whose gradient it would be
            frames, _ = _read("CTCLoss", _zeroed(scores, ~kept), *given)
            transcripts = Transcripts(transcripts.labels, transcripts.lengths * kept)
        losses = torch.where(kept.to(scores.device), _losses(frames, transcripts, self.blank), 0)
        whole = reduced(losses, transcripts, frames.batched, self.reduction)
        return whole * len(kept) / kept.sum().clamp(min=1).item() if self.reduction == "mean" else whole

    def extra_repr(self) -> str:
        return f"blank={self.blank}, reduction={self.reduction!r}, faulty={self.faulty!r}"


def _read(
    name: str,
    scores: Tensor,
    targets: Targets,
    lengths: Tensor | Sequence[int] | None,
    target_lengths: Tensor | Sequence[int] | None,
    blank: int,
    reduction: str,
) -> tuple[Frames, Transcripts]:
    check_reduction(name, reduction)
    frames = read_frames(name, scores, lengths, blank)
    _, B, K = frames.log_probs.shape
    return frames, read_targets(name, targets, target_lengths, B, frames.batched, K, blank)


def _zeroed(scores: Tensor, samples: Tensor) -> Tensor:
    chosen = samples.to(scores.device)
    return scores.masked_fill(chosen[:, None] if scores.dim() == 3 else chosen, 0)


def _losses(frames: Frames, transcripts: Transcripts, blank: int) -> Tensor:
    """(B,), of samples without faults."""
    log_probs, labels = frames.log_probs, transcripts.labels.to(frames.log_probs.device)
    if log_probs.shape[0] == 0:  # which PyTorch refuses; all targets are empty here, and certain
        return log_probs.sum((0, 2))
    return F.ctc_loss(log_probs, labels, frames.lengths, transcripts.lengths, blank, reduction="none")
