"""Polyphonic music as piano rolls in MATLAB files (Boulanger-Lewandowski, Bengio & Vincent, 2012, arXiv:1206.6392)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from carousel.jobs import JobError

KEYS = 88
PARTS = ("traindata", "validdata", "testdata")


class Music(NamedTuple):
    """Pieces, (T, 88) of 0 and 1 each."""

    training: list[Tensor]
    validation: list[Tensor]
    test: list[Tensor]


def read(path: Path) -> Music:
    """The three parts of a collection.

    Raises:
        JobError: the file does not hold them.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path)
        parts = [[torch.from_numpy(one.astype("float32")) for one in found[part].ravel()] for part in PARTS]
    except Exception as error:  # whatever a damaged or foreign file makes SciPy raise
        raise JobError(
            f"{path}: expected a MATLAB file with cells {', '.join(PARTS)} of piano rolls ({error})."
        ) from None
    for piece in (piece for part in parts for piece in part):
        if piece.dim() != 2 or piece.shape[1] != KEYS:
            raise JobError(f"{path}: a piece has the shape {tuple(piece.shape)}, expected (T, {KEYS}).")
    return Music(*parts)


class Pieces(NamedTuple):
    """A batch: what is heard (T, B, 88), the step after it (T, B, 88), and how many steps each piece has (B,)."""

    x: Tensor
    following: Tensor
    lengths: Tensor


def collate(pieces: list[Tensor]) -> Pieces:
    """A batch of pieces, in each of which every step but the first is to be foretold from those before.

    >>> x, following, lengths = collate([torch.eye(3), torch.eye(3)[:2]])
    >>> lengths.tolist(), torch.equal(following[:, 0], torch.eye(3)[1:])
    ([2, 1], True)
    """
    lengths = torch.tensor([len(piece) - 1 for piece in pieces])
    return Pieces(pad_sequence([p[:-1] for p in pieces]), pad_sequence([p[1:] for p in pieces]), lengths)


def surprise(scores: Tensor, batch: Pieces) -> tuple[Tensor, Tensor]:
    """The negative log-likelihood in nats of all keys of all steps, summed, and of how many steps.

    >>> batch = collate([torch.zeros(3, 88)])
    >>> total, steps = surprise(torch.zeros(2, 1, 88), batch)  # each key at chance
    >>> round(float(total / steps / 88), 4)  # ln 2
    0.6931
    """
    steps = torch.arange(len(batch.x))[:, None] < batch.lengths  # (T, B)
    each = F.binary_cross_entropy_with_logits(scores, batch.following, reduction="none").sum(-1)
    return (each * steps).sum(), batch.lengths.sum()
