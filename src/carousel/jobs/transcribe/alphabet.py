"""The characters that a model can write, and their labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

BLANK = 0


class Alphabet(NamedTuple):
    """Characters in order; the first has label 1, since 0 is the blank.

    >>> alphabet = Alphabet.of(["cab", "bad"])
    >>> alphabet.characters, alphabet.labels("bad").tolist(), alphabet.text([2, 1, 4])
    ('abcd', [2, 1, 4], 'bad')
    """

    characters: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """Every character of the texts."""
        return cls("".join(sorted(set("".join(texts)))))

    @property
    def strings(self) -> list[str]:
        """For each label, the blank among them, its text."""
        return ["", *self.characters]

    def labels(self, text: str) -> Tensor:
        """The labels (S,) of a text of these characters."""
        return torch.tensor([self.characters.index(character) + 1 for character in text], dtype=torch.int64)

    def text(self, labels: Iterable[int]) -> str:
        """The text of labels without blanks."""
        return "".join(self.characters[label - 1] for label in labels)

    def unknown(self, text: str) -> list[str]:
        """The characters of a text that the model cannot write."""
        return sorted(set(text) - set(self.characters))


def least_steps(text: str) -> int:
    """How many steps a text needs: one a character, and one for the blank between equal neighbours.

    >>> least_steps("book")
    5
    """
    return len(text) + sum(one == next for one, next in zip(text, text[1:], strict=False))
