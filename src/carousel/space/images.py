"""Images as rows, and convolution on them.

An image (B, C, *space) is B * S rows of C channels, one for each of its S positions, and lies in memory as such
("channels last").
Legend: B batch, S positions, N = B * S rows, C channels, w a width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}


def to_rows(images: Tensor, dims: int) -> Tensor:
    """Images (..., B, C, *space) as rows (..., N, C).

    >>> to_rows(torch.zeros(7, 2, 3, 5, 4), dims=2).shape
    torch.Size([7, 40, 3])
    """
    return images.movedim(-1 - dims, -1).flatten(-2 - dims, -2)


def to_images(rows: Tensor, space: Sequence[int]) -> Tensor:
    """Rows (..., N, C) as images (..., B, C, *space), in the same memory."""
    B = rows.shape[-2] // torch.Size(space).numel()
    return rows.unflatten(-2, (B, *space)).movedim(-1, -1 - len(space))


def at_each_row(vector: Tensor, N: int, dims: int) -> Tensor:
    """A vector that has a value for each position, (w, *space), as N rows."""
    rows = to_rows(vector.unsqueeze(0), dims)
    return rows.repeat(N // len(rows), 1)


class Convolution:
    """Convolution of images of that size, as rows, with zeros around each image so that it keeps its size.

    >>> identity = Convolution((5, 4))
    >>> rows, kernel = torch.randn(40, 2), identity.prepared(torch.eye(2).view(2, 2, 1, 1))
    >>> torch.equal(identity(rows, kernel), rows)
    True
    """

    def __init__(self, space: Sequence[int]) -> None:
        # PyTorch has channels-last memory for two and three axes.
        self.space = (1, *space) if len(space) == 1 else tuple(space)

    def prepared(self, kernel: Tensor, groups: int = 1) -> Tensor:
        """A kernel (channels out, channels in / groups, *kernel) as the call takes it."""
        kernel = kernel.unsqueeze(2) if kernel.dim() == 3 else kernel
        if groups == kernel.shape[1] == 1:  # a single channel does not show which axis comes last in memory
            kernel = F.pad(kernel, [0] * (2 * len(self.space) + 1) + [1])
        return kernel

    def __call__(self, rows: Tensor, kernel: Tensor, groups: int = 1, onto: Tensor | None = None) -> Tensor:
        """Rows (..., N, C) under a prepared kernel, plus `onto`: (..., N, channels out)."""
        outer = rows.shape[:-1]
        if rows.numel() == 0:
            return rows.new_zeros(*outer, len(kernel)) if onto is None else onto
        if rows.shape[-1] == 1:
            rows = F.pad(rows, (0, 1))
        images = rows.reshape(-1, *self.space, rows.shape[-1]).movedim(-1, 1)
        around = [k // 2 for k in kernel.shape[2:]]
        if any(k % 2 == 0 for k in kernel.shape[2:]):  # one zero more behind the image than before it
            images = F.pad(images, [n for k in reversed(kernel.shape[2:]) for n in ((k - 1) // 2, k // 2)])
            around = [0] * len(self.space)
        made = CONVOLUTIONS[len(self.space)](images, kernel, padding=around, groups=groups)
        if onto is not None:  # in place, since fresh memory costs more than the addition
            made += onto.reshape(-1, *self.space, len(kernel)).movedim(-1, 1)
        return made.movedim(1, -1).reshape(*outer, len(kernel))
