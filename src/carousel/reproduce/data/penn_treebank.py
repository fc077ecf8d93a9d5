"""The Penn Treebank as Mikolov prepared it: one sentence a line, 10,000 words, each line's end a word of its own."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from carousel.jobs import JobError

FILES = ("ptb/ptb.train.txt.gz", "ptb/ptb.valid.txt.gz", "ptb/ptb.test.txt.gz")
END = "<eos>"


def words(path: Path) -> list[str]:
    """The words of a file. Raises JobError for another kind of file."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: not a gzipped text ({error}).") from None
    return [word for line in lines for word in (*line.split(), END)]


def tokens(paths: list[Path]) -> tuple[list[Tensor], int]:
    """Each file as numbers of words (N,), and how many words there are: those of the first file, the commonest first.

    Raises:
        JobError: a later file holds a word that the first does not.
    """
    texts = [words(path) for path in paths]
    numbers = {word: k for k, (word, _) in enumerate(Counter(texts[0]).most_common())}
    for path, text in zip(paths, texts, strict=True):
        if unknown := set(text) - set(numbers):
            raise JobError(f"{path}: holds {min(unknown)!r}, which {paths[0].name} does not.")
    return [torch.tensor([numbers[word] for word in text]) for text in texts], len(numbers)
