"""Back-off n-gram models, and what they are to a decoder: models of labels, or of words spelled by labels.

Legend: K labels with the blank.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from carousel.labelling.arpa import Arpa, read_arpa
from carousel.labelling.core import core

UNKNOWN = -100 * math.log(10)  # of a word, where the model has no <unk>: what others take, too
Context = Any  # a number in the core, a tuple of words in Python


class NGram:
    """A back-off n-gram model (Katz, "Estimation of probabilities from sparse data", IEEE Transactions on Acoustics,
    Speech, and Signal Processing 35, 1987), read from a file.

    `vocabulary`: its words. `order`: n, the most words of an n-gram.

    >>> import math
    >>> import tempfile
    >>> lines = ["-0.5 a -0.2", "-1 b", "-1 </s>", "", "\\\\2-grams:", "-0.1 a b", "", "\\\\end\\\\"]
    >>> lines = ["\\\\data\\\\", "ngram 1=3", "ngram 2=1", "", "\\\\1-grams:", *lines]
    >>> with tempfile.NamedTemporaryFile("w", suffix=".arpa") as file:
    ...     _ = file.write("\\n".join(lines))
    ...     file.flush()
    ...     model = NGram.read(file.name)
    >>> model.order, model.vocabulary
    (2, ['a', 'b', '</s>'])
    >>> round(model.log_prob(["a", "b"]) / math.log(10), 6)  # of a, of b after it, of the end
    -1.6
    """

    def __init__(self, arpa: Arpa) -> None:
        self._arpa = arpa
        self.vocabulary, self.order = arpa.vocabulary, len(arpa.orders)
        self._numbers = {word: number for number, word in enumerate(self.vocabulary)}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> NGram:
        """Reads an ARPA file, `.gz` too.

        Raises OSError where it cannot be read, ValueError, with the line, where it is damaged.
        """
        return cls(read_arpa(Path(path)))

    def number(self, word: str) -> int:
        """The number of a word, -1 where the model does not have it."""
        return self._numbers.get(word, -1)

    def log_prob(self, words: Sequence[str]) -> float:
        """The log-probability of a sentence, in nats; <s> goes before it and </s> ends it where the model has them."""
        table, unknown = self.table(), self.number("<unk>")
        context, total = table.context_of(self.number("<s>")), 0.0
        for word in [*words, "</s>"] if "</s>" in self._numbers else words:
            number = self._numbers.get(word, unknown)
            value, context = table.score(context, number) if number >= 0 else (UNKNOWN, table.context_of(-1))
            total += value
        return total

    def labels(self, alphabet: Sequence[str]) -> LabelNGram:
        """The model of labels for `BeamSearch`: each label of the alphabet is one of the model's words.

        Args:
            alphabet: for each of the K labels its word; what stands for the blank is not read. Where the file writes a
                space as `<space>`, it stands so here.

        Raises ValueError for labels that the model does not have, unless it has <unk>.
        """
        return LabelNGram(self, alphabet)

    def words(self, alphabet: Sequence[str], space: str = " ", unknown: float | None = None) -> WordNGram:
        """The model of words for `BeamSearch`, which is asked where a word ends. There is no lexicon: other words are
        possible, as unknown ones.

        Args:
            alphabet: for each of the K labels what it spells; what stands for the blank is not read.
            space: that of the label between words.
            unknown: the log-probability of unknown words, in nats; None is that of <unk> and, in a model that has none,
                100 in log10 below certainty.

        Raises ValueError where no label, or more than one, is the space.
        """
        return WordNGram(self, alphabet, space, unknown)

    def table(self) -> Any:
        """The n-grams to look up in: the core's, or plain Python's."""
        found = core("NGram")
        return self._plain if found is None else self._native

    @cached_property
    def _native(self) -> Any:
        orders = self._arpa.orders
        read = [(len(g.words), g.words.ctypes.data, g.log_probs.ctypes.data, g.backoffs.ctypes.data) for g in orders]
        return core("NGram").NGram(read)

    @cached_property
    def _plain(self) -> PlainTable:
        return PlainTable(self._arpa)


class PlainTable:
    """The n-grams in plain Python. A context is the tuple of its words' numbers."""

    def __init__(self, arpa: Arpa) -> None:
        self.longest = len(arpa.orders) - 1
        self.log_probs: dict[tuple[int, ...], float] = {}
        self.backoffs: dict[tuple[int, ...], float] = {}
        self.known: set[tuple[int, ...]] = set()
        for grams in arpa.orders:
            for words, log_prob, backoff in zip(*(values.tolist() for values in grams), strict=True):
                gram = tuple(words)
                self.log_probs[gram], self.backoffs[gram] = log_prob, backoff
                self.known.update(gram[:n] for n in range(1, len(gram) + 1))

    def context_of(self, word: int) -> Context:
        """The context of that one word."""
        return self._longest((word,))

    def score(self, context: Context, word: int) -> tuple[float, Context]:
        """The log-probability of the word, by its longest n-gram, and the context after it."""
        backoff = 0.0
        for first in range(len(context) + 1):
            gram = (*context[first:], word)
            if gram in self.log_probs:
                return backoff + self.log_probs[gram], self._longest((*context, word))
            backoff += self.backoffs.get(gram[:-1], 0.0)
        return -math.inf, ()

    def _longest(self, words: Context) -> Context:
        ends = (words[first:] for first in range(len(words)))
        return next((end for end in ends if len(end) <= self.longest and end in self.known), ())


class LabelNGram:
    """See `NGram.labels`. A `LanguageModel`."""

    space = None

    def __init__(self, ngram: NGram, alphabet: Sequence[str]) -> None:
        self.ngram, unknown = ngram, ngram.number("<unk>")
        self._words = [ngram.number(word) if ngram.number(word) >= 0 else unknown for word in alphabet]
        missing = [word for word, number in zip(alphabet, self._words, strict=True) if number < 0]
        if len(missing) > 1:  # one may be the blank
            raise ValueError(
                f"NGram.labels: the model has neither <unk> nor the labels {missing}, of which one may be the blank."
            )
        self._stop = ngram.number("</s>")

    def native(self, core: Any) -> Any:
        table = self.ngram.table()
        return core.NGramOfLabels(table, table.context_of(self.ngram.number("<s>")), self._stop, self._words)

    def start(self) -> Context:
        return self.ngram.table().context_of(self.ngram.number("<s>"))

    def score(self, state: Context, label: int) -> tuple[float, Context]:
        return self.ngram.table().score(state, self._words[label])

    def end(self, state: Context) -> float:
        return self.ngram.table().score(state, self._stop)[0] if self._stop >= 0 else 0.0


class WordNGram:
    """See `NGram.words`. A `LanguageModel`; its states are a context and what was spelled of the present word, or None
    where that was scored as an unknown one."""

    def __init__(self, ngram: NGram, alphabet: Sequence[str], space: str, unknown: float | None) -> None:
        if list(alphabet).count(space) != 1:
            raise ValueError(
                f"NGram.words: {list(alphabet).count(space)} labels of the alphabet are {space!r}, expected one."
            )
        self.ngram, self.alphabet, self.space = ngram, list(alphabet), list(alphabet).index(space)
        self._unknown = ngram.number("<unk>") if unknown is None else -1
        self._unknown_log_prob = UNKNOWN if unknown is None else unknown
        self._stop = ngram.number("</s>")

    def native(self, core: Any) -> Any:
        table, first = self.ngram.table(), self.ngram.number("<s>")
        return core.NGramOfWords(
            table,
            table.context_of(first),
            self._stop,
            self._unknown,
            self._unknown_log_prob,
            self.ngram.vocabulary,
            self.alphabet,
            self.space,
        )

    @cached_property
    def _spelled(self) -> tuple[dict[str, int], set[str]]:
        """The words that can be spelled, and everything that one of them begins with."""
        words = {word: n for n, word in enumerate(self.ngram.vocabulary) if n not in (self._stop, self._unknown)}
        return words, {word[:n] for word in words for n in range(len(word) + 1)}

    def start(self) -> tuple[Context, str | None]:
        return self.ngram.table().context_of(self.ngram.number("<s>")), ""

    def score(self, state: tuple[Context, str | None], label: int) -> tuple[float, tuple[Context, str | None]]:
        context, letters = state
        if label == self.space:
            log_prob, context = self._finished(context, letters) if letters else (0.0, context)
            return log_prob, (context, "")
        if letters is None:
            return 0.0, state
        letters += self.alphabet[label]
        if letters in self._spelled[1]:
            return 0.0, (context, letters)
        log_prob, context = self._finished(context, None)
        return log_prob, (context, None)

    def end(self, state: tuple[Context, str | None]) -> float:
        context, letters = state
        log_prob, context = self._finished(context, letters) if letters else (0.0, context)
        return log_prob + (self.ngram.table().score(context, self._stop)[0] if self._stop >= 0 else 0.0)

    def _finished(self, context: Context, letters: str | None) -> tuple[float, Context]:
        number = self._unknown if letters is None else self._spelled[0].get(letters, self._unknown)
        table = self.ngram.table()
        return table.score(context, number) if number >= 0 else (self._unknown_log_prob, table.context_of(-1))
