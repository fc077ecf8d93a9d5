"""How far what a model wrote is from what was said or shown."""

from __future__ import annotations

from typing import Any, NamedTuple

from carousel.labelling import ErrorRate, label_error_rate

WORST = 5  # so many examples are shown


class Rate(NamedTuple):
    """Errors over the length of the transcripts, with a 95 % bootstrap interval over the items."""

    rate: float
    low: float
    high: float
    errors: int
    length: int

    @classmethod
    def of(cls, found: ErrorRate) -> Rate:
        """The rate and its interval."""
        return cls(found.rate, *found.interval(), int(found.errors.sum()), int(found.lengths.sum()))


class Example(NamedTuple):
    """One item: what was said, what the model wrote, and how many characters are wrong."""

    path: str
    text: str
    written: str
    errors: int


class Evaluation(NamedTuple):
    """Character and word error rate, how many items have any error, and all items, the worst first."""

    characters: Rate
    words: Rate
    items: int
    faulty: int
    examples: list[Example]

    def says(self) -> str:
        """The whole in one line."""
        return f"{self.faulty:,} of {self.items:,} items have an error"

    def plain(self) -> dict[str, Any]:
        """``metrics.json``."""
        return {
            "characters": self.characters._asdict(),
            "words": self.words._asdict(),
            "items": self.items,
            "items_with_errors": self.faulty,
            "worst": [one._asdict() for one in self.worst],
        }

    @property
    def worst(self) -> list[Example]:
        """Some of those with most errors."""
        return [one for one in self.examples if one.errors][:WORST]


def evaluate(paths: list[str], texts: list[str], written: list[str]) -> Evaluation:
    """Compare what was written with the transcripts. Words are what stands between spaces.

    >>> found = evaluate(["1.wav", "2.wav"], ["a big cat", "two dogs"], ["a big bat", "two dogs"])
    >>> found.characters.errors, found.characters.length, found.words.rate, found.examples[0].written
    (1, 17, 0.2, 'a big bat')
    """
    characters = label_error_rate(written, texts)
    words = label_error_rate([one.split() for one in written], [one.split() for one in texts])
    rows = map(Example, paths, texts, written, characters.errors.tolist())
    return Evaluation(
        Rate.of(characters),
        Rate.of(words),
        len(texts),
        int((characters.errors > 0).sum()),
        sorted(rows, key=lambda one: -one.errors / len(one.text)),
    )
