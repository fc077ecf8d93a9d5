"""MNIST's idx files: LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, doi:10.1109/5.726791."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from carousel.jobs import JobError

FILES = (
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/train-labels-idx1-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "mnist/t10k-labels-idx1-ubyte.gz",
)


def images(path: Path) -> Tensor:
    """(N, rows x columns) bytes. Raises JobError for another kind of file."""
    return _read(path, 3).flatten(1)


def labels(path: Path) -> Tensor:
    """(N,) whole numbers. Raises JobError for another kind of file."""
    return _read(path, 1).long()


def _read(path: Path, axes: int) -> Tensor:
    """Four bytes that name the kind (8: unsigned bytes) and the number of axes, the sizes, the numbers."""
    try:
        whole = gzip.decompress(path.read_bytes())
        kind, *sizes = struct.unpack_from(f">{1 + axes}I", whole)
        values = np.frombuffer(whole, np.uint8, offset=4 * (1 + axes)).reshape(sizes)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise JobError(f"{path}: not a gzipped idx file with {axes} axes ({error}).") from None
    if kind != 0x800 + axes:
        raise JobError(f"{path}: begins with {kind:#x}, expected {0x800 + axes:#x}, an idx file of bytes.")
    return torch.from_numpy(values.copy())
