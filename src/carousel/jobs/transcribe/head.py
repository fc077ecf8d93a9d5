"""What stands behind the recurrent layers: a way to be trained by transcripts, to write, and to align.

Legend: T steps, B items, W what the layers put out, K labels with the blank, S characters of a transcript.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.jobs.transcribe.decoding import Decoding


class Marks(NamedTuple):
    """Where the network marks the characters of a text, in steps, and what it puts out at each step.

    For each of S characters its begin, its end and how probable it is there, 0 to 1; for each of T steps on the way
    how probable the blank is, and the most probable character.
    """

    starts: list[float]
    ends: list[float]
    probabilities: list[float]
    blank: Tensor
    character: Tensor


class Head(Protocol):
    """One object for each way of training; made for W, K and a probability of dropout.

    Called with what the layers put out, (T, B, W) or (T, W), it gives what its loss, its decoders and its alignment
    read, (T, B, R) or (T, R).
    """

    title: str

    @staticmethod
    def least_steps(text: str) -> int:
        """How many steps a text needs."""

    def __call__(self, y: Tensor) -> Tensor:
        """What the others read."""

    def loss(self, read: Tensor, labels: list[Tensor], lengths: Tensor) -> Tensor:
        """-ln p of all transcripts of a batch together."""

    def best_path(self) -> Any:
        """The fast decoder, by which training is validated."""

    def decoder(self, decoding: Decoding, alphabet: Alphabet, own: Any) -> Any:
        """The chosen decoder of what is read; `own` is the language model in the model folder, or None.

        Raises:
            JobError: the choice makes no sense for this head, or its language model will not do.
        """

    def align(self, read: Tensor, labels: Tensor) -> Marks:
        """The most probable way to write labels (S,) along one item. Raises ValueError where there is none."""
