"""Training as a transducer: what a step writes depends on the characters written before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import BLANK, Alphabet
from carousel.jobs.transcribe.decoding import Decoding
from carousel.jobs.transcribe.head import Marks
from carousel.labelling import Transducer, TransducerBeam, TransducerGreedy, TransducerJoint
from carousel.layers import LSTM

EMBEDDING, MOST = 32, 10  # features of a character; characters that a step may write
BEAM = 10


class Prediction(nn.Module):
    """An LSTM with dropout before and behind it, lest it learns transcripts by heart."""

    def __init__(self, size: int, width: int, dropout: float):
        super().__init__()
        self.layer, self.dropout = LSTM(size, width), nn.Dropout(dropout)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The output (T, B, width) for x (T, B, size), and the state."""
        y, state = self.layer(self.dropout(x), state)
        return self.dropout(y), state


class Transduction(nn.Module):
    """An LSTM that reads the characters written so far, and what joins it to the steps, both as wide as the layers.

    Graves, Mohamed & Hinton, ICASSP 2013, arXiv:1303.5778. Several characters may be written at one step.

    >>> head = Transduction(6, 4, dropout=0.1)
    >>> read = head(torch.randn(9, 2, 6))
    >>> head.loss(read, [torch.tensor([1, 2]), torch.tensor([3])], torch.tensor([9, 5])).shape
    torch.Size([])
    """

    title = "transducer"

    def __init__(self, width: int, labels: int, dropout: float):
        super().__init__()
        embedding, joint = (
            nn.Embedding(labels, EMBEDDING, padding_idx=BLANK),
            TransducerJoint(width, width, width, labels),
        )
        self.dropout = nn.Dropout(dropout)
        self.net = Transducer(embedding, Prediction(EMBEDDING, width, dropout), joint)

    @staticmethod
    def least_steps(text: str) -> int:
        """How many steps a text needs.

        >>> Transduction.least_steps("a book by two")
        2
        """
        return -(-len(text) // MOST)

    def forward(self, y: Tensor) -> Tensor:
        """What the layers put out, which the joint reads."""
        return self.dropout(y)

    def loss(self, read: Tensor, labels: list[Tensor], lengths: Tensor) -> Tensor:
        """-ln p of all transcripts together."""
        return self.net.loss(read, labels, lengths, reduction="sum")

    def best_path(self) -> TransducerGreedy:
        """The most probable step each time."""
        return TransducerGreedy(self.net, MOST)

    def decoder(self, decoding: Decoding, alphabet: Alphabet, own: Any) -> Any:
        """The chosen search. Raises JobError for what is there for CTC alone."""
        if decoding.decoder == "prefix-search":
            raise JobError("prefix-search is for models of CTC; a transducer takes --decoder best-path or beam.")
        if decoding.language_model is not None or decoding.bonus:
            raise JobError(
                "language models and their bonus are for models of CTC; a transducer predicts characters by itself."
            )
        if decoding.decoder == "best-path":
            return self.best_path()
        return TransducerBeam(self.net, decoding.beam or BEAM, most=MOST)

    def align(self, read: Tensor, labels: Tensor) -> Marks:
        """Each character is a step long where the best path writes it; several at one step share it."""
        (found,) = self.net.align(read.unsqueeze(1), [labels])
        _, group, sizes = found.times.unique_consecutive(return_inverse=True, return_counts=True)
        shared = sizes[group]
        place = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[group]
        starts = found.times + place / shared
        before = torch.searchsorted(found.times, torch.arange(len(read)))  # characters written when a step begins
        probabilities = torch.softmax(self.net.joint(read, self._predicted(labels)[before]), 1)
        return Marks(
            starts.tolist(),
            (starts + 1 / shared).tolist(),
            found.scores.exp().tolist(),
            probabilities[:, BLANK],
            probabilities[:, BLANK + 1 :].amax(1),
        )

    def _predicted(self, labels: Tensor) -> Tensor:
        """(S + 1, W): what is predicted before each label, and after the last."""
        written = self.net.start()
        outputs = [written.output]
        for label in labels:
            written = self.net.write(label.unsqueeze(0), written.state)
            outputs.append(written.output)
        return torch.cat(outputs)
