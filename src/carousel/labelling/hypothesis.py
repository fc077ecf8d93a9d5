"""What recognition gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Hypothesis(NamedTuple):
    """A transcript that a decoder found.

    `labels`: without blanks. `score`: what the decoder ranks by, in nats; with a language model that is its weighted
    sum. `log_prob`: of the labels given the frames, by the net alone (best path: of that path). `times`: for each label
    the frame at which it begins on the best path that gives these labels.
    """

    labels: tuple[int, ...]
    score: float
    log_prob: float
    times: tuple[int, ...]

    def text(self, alphabet: Sequence[str]) -> str:
        """The labels as text, `alphabet` having a string for each label.

        >>> Hypothesis((2, 1), -0.1, -0.1, (0, 3)).text(["-", "a", "b"])
        'ba'
        """
        return "".join(alphabet[label] for label in self.labels)


class Partial(NamedTuple):
    """What a stream has recognised so far. `stable` of the `labels` will not change any more, whatever comes."""

    labels: tuple[int, ...]
    times: tuple[int, ...]
    stable: int
