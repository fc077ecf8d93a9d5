"""`EncoderForecaster`: reads frames, then goes on without them.

Legend: T time, B batch, C channels, H hidden channels of a layer, *space the axes of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.graph import Cell
from carousel.layers import ConvRecurrent
from carousel.layers.convolutional import Kernel

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class EncoderForecaster(nn.Module):
    """The encoding-forecasting network of Shi et al. (2015, arXiv:1506.04214), of any cell.

    A stack of layers reads the frames. A second stack, in reverse order, starts from their last states, so that the
    layer that saw most is at the bottom; its first layer has no input. A convolution of one position makes each new
    frame from the hidden states of all its layers side by side.

    Args:
        input_channels: C of a frame.
        hidden_channels: H of each layer of the encoder, from the bottom up.
        kernel_size, recurrent_kernel_size, dims: as `ConvRecurrent`.
        cell: of all layers; its first state is the hidden one.
        read: "all" layers' hidden states make a frame, or that of the "last" alone.
        options: as `ConvRecurrent`, for every layer; but time comes first, and layers read forward.

    Raises:
        TypeError, ValueError: for an argument that does not fit.

    >>> net = EncoderForecaster(input_channels=1, hidden_channels=[8, 4], kernel_size=3)
    >>> net(torch.randn(10, 2, 1, 16, 16), steps=5).shape
    torch.Size([5, 2, 1, 16, 16])
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: Sequence[int],
        kernel_size: Kernel,
        *,
        recurrent_kernel_size: Kernel | None = None,
        dims: int | None = None,
        cell: Cell = cells.conv_lstm,
        read: str = "all",
        **options: Any,
    ) -> None:
        super().__init__()
        if read not in ("all", "last"):
            raise ValueError(f'EncoderForecaster: read is {read!r}, expected "all" or "last".')
        if not hidden_channels:
            raise ValueError("EncoderForecaster: hidden_channels is empty, expected the channels of each layer.")
        for option in ("batch_first", "bidirectional"):
            if options.get(option):
                raise ValueError(
                    f"EncoderForecaster: {option} was given, but frames are (T, B, C, *space) and read forward, since "
                    f"the net goes on from the last. Leave it out."
                )
        self.read = read
        up, down = list(hidden_channels), list(reversed(hidden_channels))

        def layers(inputs: list[int], hidden: list[int]) -> nn.ModuleList:
            kernels: dict[str, Any] = {"recurrent_kernel_size": recurrent_kernel_size, "dims": dims}
            made = (
                ConvRecurrent(cell, i, h, kernel_size, **kernels, **options)
                for i, h in zip(inputs, hidden, strict=True)
            )
            return nn.ModuleList(made)

        self.encoder = layers([input_channels, *up[:-1]], up)
        self.forecaster = layers([0, *down[:-1]], down)
        seen = sum(down) if read == "all" else down[-1]
        factory = {name: options[name] for name in ("device", "dtype") if name in options}
        self.output = CONVOLUTIONS[cast(ConvRecurrent, self.encoder[0]).dims](seen, input_channels, 1, **factory)

    def forward(self, x: Tensor, steps: int, *, lengths: Any = None) -> Tensor:
        """Reads x (T, B, C, *space), of `lengths` if they differ, and returns the `steps` frames (steps, B, C, *space)
        that follow, as they come from the last convolution: for pixels between 0 and 1, logits."""
        states = []
        for layer in self.encoder:
            x, state = layer(x, lengths=lengths)
            states.append(state)
        B, space = x.shape[1], x.shape[3:]
        y, hidden = x.new_zeros(steps, B, 0, *space), []
        for layer, state in zip(self.forecaster, reversed(states), strict=True):
            y, _ = layer(y, state)
            hidden.append(y)
        seen = torch.cat(hidden, 2) if self.read == "all" else y
        return self.output(seen.flatten(0, 1)).unflatten(0, (steps, B))
