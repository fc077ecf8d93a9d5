"""What a language model is to a decoder."""

from __future__ import annotations

from typing import Any, Protocol

State = Any


class LanguageModel(Protocol):
    """Scores a transcript label after label. Any object with these four will do.

    States are of any type; they are handed back as they are, and none may change when it is used. Log-probabilities are
    in nats and not positive. An object may also have `prepare(states)`: it is called at each frame with the states that
    may be asked about there, so that a net can take them in one step.
    """

    #: The label that ends a word, if a decoder's bonus is to count words; None where it is to count labels.
    space: int | None

    def start(self) -> State:
        """The state before the first label."""

    def score(self, state: State, label: int) -> tuple[float, State]:
        """The log-probability of the label, and the state after it."""

    def end(self, state: State) -> float:
        """The log-probability that the transcript ends here."""
