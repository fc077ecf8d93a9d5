"""Series to classify, in the `.ts` files of the UCR and UEA archives (Dau et al., 2018, arXiv:1810.07758)."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs import JobError


class Cases(NamedTuple):
    """Series of one length (N, T, D) and the numbers of their classes (N,)."""

    x: Tensor
    classes: Tensor


def files(name: str) -> tuple[str, str]:
    """Where the two parts of a set lie."""
    return f"ucr_uea/{name}/{name}_TRAIN.ts.gz", f"ucr_uea/{name}/{name}_TEST.ts.gz"


def read(training: Path, test: Path) -> tuple[Cases, Cases, int]:
    """Both parts of a set, each variable scaled by the training part's mean and deviation, and how many classes.

    Raises:
        JobError: a file is of another kind, or its series differ in length.
    """
    parts = [_cases(training), _cases(test)]
    names = sorted({label for _, labels in parts for label in labels})
    mean = parts[0][0].mean((0, 1))
    deviation = parts[0][0].std((0, 1)).clamp_min(1e-8)
    scaled = [
        Cases((x - mean) / deviation, torch.tensor([names.index(label) for label in labels])) for x, labels in parts
    ]
    return scaled[0], scaled[1], len(names)


def _cases(path: Path) -> tuple[Tensor, list[str]]:
    """After the line `@data` a case a line: its variables, numbers separated by commas, then its class, by colons."""
    try:
        lines = [line.strip() for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        first = [line.lower() for line in lines].index("@data") + 1
        cases = [line.split(":") for line in lines[first:] if line]
        values = [[[float(v) for v in channel.split(",")] for channel in channels] for *channels, _ in cases]
        return torch.tensor(values).transpose(1, 2), [label for *_, label in cases]
    except (OSError, EOFError, ValueError) as error:
        raise JobError(f"{path}: not a gzipped .ts file of series of one length ({error}).") from None
