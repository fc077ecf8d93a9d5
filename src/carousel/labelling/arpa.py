"""Reading n-gram models in the ARPA format."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np


class Grams(NamedTuple):
    """The N n-grams of one order n: words (N, n) int32, log-probabilities and back-off weights (N,), in nats."""

    words: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray


class Arpa(NamedTuple):
    """A file's words, in the order of its unigrams, and its n-grams by order."""

    vocabulary: list[str]
    orders: list[Grams]


def read_arpa(path: Path) -> Arpa:
    """Reads a file, compressed by gzip where its name ends in .gz.

    Raises ValueError, with the number of the line, for a file that is not as the format says.
    """
    try:
        opened: IO[str] = (
            gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
        )
        with opened as lines:
            return _Reader(path, lines).read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}), expected an ARPA file.") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is not a whole file compressed by gzip ({error}).") from None


class _Reader:
    def __init__(self, path: Path, lines: IO[str]) -> None:
        self.path, self.number = path, 0
        self.lines = self._numbered(lines)
        self.numbers: dict[str, int] = {}

    def _numbered(self, lines: IO[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1
            if line := line.strip():
                yield line
        raise self.error("the file ends before \\end\\: it is not whole")

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.path}, line {self.number}: {what}.")

    def read(self) -> Arpa:
        for line in self.lines:
            if line == "\\data\\":
                break
            if line.startswith("\\"):
                raise self.error(f"{line!r} stands before \\data\\, which an ARPA file begins with")
        counts, line = self._counts()
        orders = []
        for n, count in enumerate(counts, 1):
            if line != f"\\{n}-grams:":
                raise self.error(f"found {line!r}, expected \\{n}-grams:")
            grams, line = self._grams(n, count)
            orders.append(grams)
        if line != "\\end\\":
            raise self.error(f"found {line!r}, expected \\end\\ after {len(counts)} orders")
        return Arpa(list(self.numbers), orders)

    def _counts(self) -> tuple[list[int], str]:
        """How many n-grams each order is said to have, and the line after."""
        counts: list[int] = []
        for line in self.lines:
            if line.startswith("\\"):
                break
            found = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if not found or int(found[1]) != len(counts) + 1:
                raise self.error(f"found {line!r}, expected ngram {len(counts) + 1}=COUNT")
            counts.append(int(found[2]))
        if not counts:
            raise self.error("there is no count of n-grams after \\data\\")
        return counts, line

    def _grams(self, n: int, count: int) -> tuple[Grams, str]:
        """The n-grams of an order, and the line after."""
        words, values = np.empty((count, n), np.int32), np.zeros((2, count))
        k = 0
        for line in self.lines:
            if line.startswith("\\") and len(line.split()) == 1:
                break
            if k == count:
                raise self.error(f"there are more {n}-grams than the {count} that were announced")
            fields = line.split()
            if len(fields) not in (n + 1, n + 2):
                raise self.error(
                    f"a {n}-gram has {len(fields)} fields, expected {n + 1}, or {n + 2} with a back-off weight"
                )
            words[k] = self._numbers(fields[1 : n + 1])
            values[0, k] = self._value(fields[0], "log-probability", most=0)
            if len(fields) == n + 2:
                values[1, k] = self._value(fields[-1], "back-off weight", most=math.inf)
            k += 1
        if k < count:
            raise self.error(f"there are {k} {n}-grams, {count} were announced")
        values *= math.log(10)
        return Grams(words, values[0], values[1]), line

    def _numbers(self, words: list[str]) -> list[int]:
        if len(words) == 1:
            if words[0] in self.numbers:
                raise self.error(f"the word {words[0]!r} is there a second time")
            self.numbers[words[0]] = len(self.numbers)
        try:
            return [self.numbers[word] for word in words]
        except KeyError as error:
            raise self.error(f"the word {error} is not among the unigrams") from None

    def _value(self, text: str, what: str, most: float) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not value <= most or value == math.inf:  # also where it is not a number
            raise self.error(f"{what} is {text!r}, expected a number" + (" that is not above 0" if most == 0 else ""))
        return max(value, -99.0)  # what the format writes for minus infinity
