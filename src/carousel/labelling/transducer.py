"""The transducer: a net that reads frames, one that reads what was written so far, and one that joins the two.

Legend: T frames, B batch, D features of a frame, K labels with the blank, U labels of the longest transcript, E
features of a label, P of what the prediction net puts out, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from carousel.labelling.batch import Targets, Transcripts, check_reduction, read_targets, reduced
from carousel.labelling.transducer_lattice import lattice_alignment, lattice_losses
from carousel.labelling.transducer_loss import blank_and_label, check_columns, frames_of, lattice_mask
from carousel.layers.inputs import read_lengths


class TransducerJoint(nn.Module):
    """Joins a frame and what was written: y = W_hy tanh(W_lh l + W_ph p + b_h) + b_y.

    Graves, Mohamed & Hinton, "Speech recognition with deep recurrent neural networks", ICASSP 2013, arXiv:1303.5778,
    equations 15 to 17.

    Args:
        encoded_size: D, of l. predicted_size: P, of p. hidden_size: H. labels: K, with the blank.

    >>> joint = TransducerJoint(encoded_size=6, predicted_size=5, hidden_size=8, labels=4)
    >>> joint(torch.randn(7, 1, 6), torch.randn(1, 3, 5)).shape  # each with each
    torch.Size([7, 3, 4])
    """

    def __init__(self, encoded_size: int, predicted_size: int, hidden_size: int, labels: int) -> None:
        super().__init__()
        self.encoded = nn.Linear(encoded_size, hidden_size)
        self.predicted = nn.Linear(predicted_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, labels)

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Scores (..., K) of encoded (..., D) and predicted (..., P), whose leading axes are broadcast."""
        return self.output(torch.tanh(self.encoded(encoded) + self.predicted(predicted)))


class Written(NamedTuple):
    """What the prediction net makes of the labels written so far: its output (B, P) and its state."""

    output: Tensor
    state: Any


class TransducerAlignment(NamedTuple):
    """The frames at which the best path writes a transcript.

    For each of the U labels the frame in `times`, and in `scores` its log-probability there, in nats. `log_prob`: of
    the path.
    """

    labels: Tensor
    times: Tensor
    scores: Tensor
    log_prob: float


class Transducer(nn.Module):
    """The part of a transducer (Graves, 2012, arXiv:1211.3711) behind the net that reads the frames.

    Args:
        embedding: of K labels, `nn.Embedding(K, E)`. The blank, which nobody writes, stands for the beginning; with
            `padding_idx=blank` that is the vector of zeros, as in the paper.
        prediction: reads (T, B, E), and gives its output (T, B, P) and state: a `Recurrent` of any cell, `LSTM`,
            `GRU`, `RNN`, not bidirectional, not `batch_first`.
        joint: of encoded (..., D) and predicted (..., P) the scores (..., K): a `TransducerJoint`, or any module.
        blank: which label is the blank.

    Raises ValueError for parts that do not fit.

    >>> import carousel as ca
    >>> encoder = ca.LSTM(10, 12, bidirectional=True)
    >>> joint = ca.TransducerJoint(encoded_size=24, predicted_size=16, hidden_size=20, labels=5)
    >>> net = ca.Transducer(nn.Embedding(5, 8, padding_idx=0), ca.LSTM(8, 16), joint)
    >>> encoded, _ = encoder(torch.randn(30, 2, 10))
    >>> net.loss(encoded, [[1, 2, 2], [4]], lengths=[30, 20]).backward()
    >>> transcripts = ca.TransducerBeam(net, beam=4)(encoded)
    """

    def __init__(self, embedding: nn.Embedding, prediction: nn.Module, joint: nn.Module, blank: int = 0) -> None:
        super().__init__()
        if not 0 <= blank < embedding.num_embeddings:
            raise ValueError(f"Transducer: blank is {blank}, expected 0 to {embedding.num_embeddings - 1}.")
        if getattr(prediction, "bidirectional", False) or getattr(prediction, "batch_first", False):
            raise ValueError("Transducer: prediction is bidirectional or batch_first, expected neither.")
        self.embedding, self.prediction, self.joint, self.blank = embedding, prediction, joint, blank

    def forward(self, encoded: Tensor, targets: Tensor) -> Tensor:
        """Scores (T, B, U + 1, K) of encoded (T, B, D) and targets (B, U): as large as it says; `loss` needs less."""
        return self.joint(encoded.unsqueeze(2), self._predicted(targets).transpose(0, 1).unsqueeze(0))

    def loss(
        self,
        encoded: Tensor,
        targets: Targets,
        lengths: Tensor | Sequence[int] | None = None,
        target_lengths: Tensor | Sequence[int] | None = None,
        *,
        reduction: str = "mean",
        chunk: int = 16,
    ) -> Tensor:
        """`transducer_loss` of these nets, joined for `chunk` frames at a time, and once more in the backward pass.

        So scores of (chunk, B, U + 1, K) are all that is ever there, and of all frames only two numbers at (t, b, u).

        Args:
            encoded: (T, B, D); what lies past a sample's end is not read.
            targets, lengths, target_lengths, reduction: as for `ctc_loss`.

        Raises:
            TypeError, ValueError: as `transducer_loss`.
        """
        check_reduction("Transducer", reduction)
        if chunk < 1:
            raise ValueError(f"Transducer: chunk is {chunk}, expected a number of frames.")
        columns, frames, transcripts = self._columns(encoded, targets, lengths, target_lengths, chunk)
        return reduced(lattice_losses(*columns, frames, transcripts.lengths), transcripts, True, reduction)

    def align(
        self,
        encoded: Tensor,
        targets: Targets,
        lengths: Tensor | Sequence[int] | None = None,
        target_lengths: Tensor | Sequence[int] | None = None,
    ) -> list[TransducerAlignment]:
        """For each sample the best path that writes the transcript. Arguments and errors as for `loss`."""
        with torch.no_grad():
            columns, frames, transcripts = self._columns(encoded, targets, lengths, target_lengths, 16)
        found = []
        for b, (T, U) in enumerate(zip(frames.tolist(), transcripts.lengths.tolist(), strict=True)):
            blank, label = (value[:T, b, : U + 1].double().cpu() for value in columns)
            frames_of_labels, log_prob = lattice_alignment(blank, label)
            times = torch.tensor(frames_of_labels, dtype=torch.int64)
            scores = label[times, torch.arange(U)].float()
            found.append(TransducerAlignment(transcripts.labels[b, :U], times, scores, log_prob))
        return found

    # -- step by step

    def start(self, B: int = 1) -> Written:
        """What is predicted before the first label, for B samples."""
        return self.write(torch.full((B,), self.blank), None)

    def write(self, labels: Tensor, state: Any) -> Written:
        """One label more for each sample, (B,)."""
        y, state = self.prediction(self.embedding(labels.to(self.embedding.weight.device)).unsqueeze(0), state)
        return Written(y[0], state)

    def _predicted(self, targets: Tensor) -> Tensor:
        """(U + 1, B, P), before each label and after the last one."""
        begun = F.pad(targets, (1, 0), value=self.blank).to(self.embedding.weight.device)
        return self.prediction(self.embedding(begun.T))[0]

    def _columns(
        self,
        encoded: Tensor,
        targets: Targets,
        lengths: Tensor | Sequence[int] | None,
        target_lengths: Tensor | Sequence[int] | None,
        chunk: int,
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Transcripts]:
        """The log-probabilities (T, B, U + 1) of the blank and of the next label; frames; transcripts."""
        check_encoded("Transducer", encoded)
        T, B, _ = encoded.shape
        K = self.embedding.num_embeddings
        transcripts = read_targets("Transducer", targets, target_lengths, B, True, K, self.blank)
        frames = frames_of("Transducer", read_lengths("Transducer", lengths, T, B), T, B)
        inside = (torch.arange(T)[:, None] < frames).to(encoded.device)
        encoded = encoded.masked_fill(~inside.unsqueeze(-1), 0)
        longest = int(transcripts.lengths.max())
        predicted = self._predicted(transcripts.labels[:, :longest]).transpose(0, 1)

        def joined(part: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
            return blank_and_label(self.joint(part.unsqueeze(2), predicted.unsqueeze(0)), transcripts, self.blank)

        parts = [checkpoint(joined, part, predicted, use_reentrant=False) for part in encoded.split(chunk)]
        columns = torch.cat([blank for blank, _ in parts]), torch.cat([label for _, label in parts])
        check_columns("Transducer", columns, lattice_mask(frames, transcripts, T, longest + 1).to(encoded.device))
        return columns, frames, transcripts


def check_encoded(name: str, encoded: Tensor) -> None:
    if not isinstance(encoded, Tensor) or encoded.dim() != 3 or not encoded.shape[1]:
        given = f"has shape {tuple(encoded.shape)}" if isinstance(encoded, Tensor) else f"is a {type(encoded).__name__}"
        raise ValueError(f"{name}: encoded {given}, expected (T, B, D).")
