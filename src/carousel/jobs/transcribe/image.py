"""Line images as columns of grey values, from left to right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.jobs import JobError

REACH = 4.0  # a normalised line shows so many mean distances of ink from its middle, above and below


class ImageColumns(NamedTuple):
    """From a line image to its columns at a fixed height, ink being 1 and paper 0.

    With ``line="ink"`` the middle of the ink, smoothed along the line, becomes the middle row, and the mean distance of
    ink from it a fixed part of the height: lines are straightened, and letters equally large whether or not the line
    has any that ascend or descend (as in Breuel et al., ICDAR 2013, doi:10.1109/ICDAR.2013.140). With
    ``line="whole"`` the image is scaled to the height as it is.

    >>> features = ImageColumns(height=16, line="whole")
    >>> features(torch.rand(32, 100)).shape
    torch.Size([50, 16])
    """

    height: int = 32
    line: str = "ink"

    @property
    def width(self) -> int:
        """D, the features of a column."""
        return self.height

    def __call__(self, ink: Tensor) -> Tensor:
        """Ink (rows, columns) as columns (T, D)."""
        return (self._by_ink(ink) if self.line == "ink" else self._whole(ink)).T.contiguous()

    def _whole(self, ink: Tensor) -> Tensor:
        columns = max(1, round(ink.shape[1] * self.height / ink.shape[0]))
        return _scaled(ink, self.height, columns)

    def _by_ink(self, ink: Tensor) -> Tensor:
        rows, columns = ink.shape
        middle, spread = middle_of_ink(ink)
        reach = REACH * max(spread, rows / 16)  # a lone dot or dash is not blown up to a line's height
        place = torch.linspace(-reach, reach, self.height)[:, None] + middle  # (height, columns)
        x = torch.arange(columns, dtype=place.dtype).expand_as(place)
        grid = torch.stack([_relative(x, columns), _relative(place, rows)], dim=-1)  # (height, columns, 2)
        smooth = _blurred(ink, 2 * reach / self.height)
        level = F.grid_sample(smooth[None, None], grid[None], align_corners=False)[0, 0]
        return _scaled(level, self.height, max(1, round(columns * self.height / (2 * reach))))

    def read(self, path: Path) -> Tensor:
        """The ink (rows, columns) in an image file: how far each pixel is from the paper, at most 1.

        Raises:
            JobError: it cannot be read.
        """
        grey = read_grey(path)
        ink = np.abs(grey - np.median(grey))
        return torch.from_numpy(ink / max(float(ink.max()), 1.0 / 255))


def read_grey(path: Path) -> np.ndarray:
    """The grey values (rows, columns) of an image from 0 (black) to 1, what is transparent being white.

    Raises:
        JobError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            colours = image.convert("RGBA")
            white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
            grey = Image.alpha_composite(white, colours).convert("L")
    except FileNotFoundError:
        raise JobError(f"{path}: no such file.") from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise JobError(f"{path}: not readable as an image ({str(error).splitlines()[0]}).") from None
    return np.asarray(grey, dtype=np.float32) / 255


def middle_of_ink(ink: Tensor) -> tuple[Tensor, float]:
    """The row of the middle of the ink in each column (columns,), smoothed along the line, and the ink's mean distance.

    Without ink it is the middle of the image.
    """
    rows, columns = ink.shape
    row = torch.arange(rows, dtype=ink.dtype)[:, None]
    overall = (ink * row).sum() / ink.sum() if ink.sum() > 0 else torch.tensor((rows - 1) / 2)
    far = max(1.0, 1.0 * rows)  # the middle follows the line over a few letters, not each letter
    weight = _smooth(ink.sum(0), far) + 1e-3
    middle = (_smooth((ink * row).sum(0), far) + 1e-3 * overall) / weight  # (columns,)
    spread = (ink * (row - middle).abs()).sum() / ink.sum() if ink.sum() > 0 else torch.tensor(0.0)
    return middle, float(spread)


def _smooth(values: Tensor, deviation: float) -> Tensor:
    """A Gaussian mean along (N,), as if nothing were beyond the ends."""
    reach = int(3 * deviation)
    window = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=values.dtype) / deviation) ** 2)
    return F.conv1d(values[None, None], (window / window.sum())[None, None], padding=reach)[0, 0]


def _blurred(ink: Tensor, factor: float) -> Tensor:
    """Ink (rows, columns) averaged along columns over ``factor`` rows, so that picking rows misses none."""
    width = max(1, round(factor)) | 1
    kernel = torch.full((1, 1, width, 1), 1 / width)
    return F.conv2d(ink[None, None], kernel, padding=(width // 2, 0))[0, 0]


def _relative(place: Tensor, size: int) -> Tensor:
    """Pixel numbers as ``grid_sample`` counts them, -1 to 1 from edge to edge."""
    return (2 * place + 1) / size - 1


def _scaled(ink: Tensor, rows: int, columns: int) -> Tensor:
    """The image at another size, averaged where it shrinks."""
    return F.interpolate(ink[None, None], (rows, columns), mode="bilinear", antialias=True)[0, 0]
