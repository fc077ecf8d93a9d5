"""`ConvRecurrent` and `ConvLSTM`: cells whose products are convolutions, over sequences of images.

Legend: T time, B batch, C input channels, H hidden channels, *space the axes of an image: (X,), (Y, X) or (Z, Y, X);
L layers x directions, w the channels of what is meant.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.graph import Cell
from carousel.graph.products import reads_states
from carousel.layers import stack as driver
from carousel.layers.initial import Start, start
from carousel.layers.recurrent import Recurrent

Kernel = int | Sequence[int]


class ConvRecurrent(Recurrent):
    """Applies a cell over a sequence of images, in as many layers and directions as wanted: every `@` is a convolution.

    Images keep their size, with zeros around them ("same"). Each position is a row to what else is in the equations,
    so a mean or a softmax "over the row" is over the channels of a position.

    Args:
        cell: the equations, made by `carousel.cell`.
        input_channels: C; 0 for a layer that runs on its states alone.
        hidden_channels: H.
        kernel_size: of the kernels that read the input (above the first layer, the output of the layer below); a number
            stands for all axes.
        recurrent_kernel_size: of those that read states; None is `kernel_size`.
        dims: 1, 2 or 3, the number of axes of an image; a `kernel_size` with one number an axis says it too.
        per_position: names or patterns of vectors that have a value for each position, ("V_*",), not for each channel.
        space: the size of the images, which `per_position` needs.
        options: as `Recurrent`: learn_initial (one value a channel), engine, checkpoint_every, masks, init, ...

    A matrix (rows, columns) of the cell is a kernel (rows, columns, *kernel), a vector (w,) holds for all positions, or
    is (w, *space). Names are as in `Recurrent`: `W_f_l0`, `U_f_l0_reverse`.

    Raises:
        TypeError, ValueError: for an argument that does not fit the cell.

    >>> import torch
    >>> import carousel as ca
    >>> layer = ConvRecurrent(ca.cells.gru, input_channels=3, hidden_channels=8, kernel_size=5, recurrent_kernel_size=3)
    >>> y, (h,) = layer(torch.randn(7, 2, 3, 16, 12))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 8, 16, 12]), torch.Size([1, 2, 8, 16, 12]))
    """

    _least_input = 0

    def __init__(
        self,
        cell: Cell,
        input_channels: int,
        hidden_channels: int,
        kernel_size: Kernel,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        recurrent_kernel_size: Kernel | None = None,
        dims: int | None = None,
        per_position: Sequence[str] = (),
        space: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(cell, Cell):
            given = type(cell).__name__
            raise TypeError(f"ConvRecurrent: cell is a {given}, expected a cell of rows, made by @carousel.cell.")
        # The shapes of parameters, which the base class asks for, need these.
        self.dims = _dims(cell, dims, kernel_size)
        self.kernel_size = _kernel(cell, "kernel_size", kernel_size, self.dims)
        own = kernel_size if recurrent_kernel_size is None else recurrent_kernel_size
        self.recurrent_kernel_size = _kernel(cell, "recurrent_kernel_size", own, self.dims)
        self.per_position, self.space = _positions(cell, per_position, space, self.dims)
        super().__init__(
            cell, input_channels, hidden_channels, num_layers, bidirectional, batch_first, dropout, **options
        )

    @property
    def input_channels(self) -> int:
        """C, the number of input channels."""
        return self.input_size

    @property
    def hidden_channels(self) -> int:
        """H, the number of hidden channels."""
        return self.hidden_size

    def _shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        assert isinstance(self.cell, Cell)
        found, reads = self.cell.shapes(**sizes), reads_states(self.cell)
        for name, shape in found.items():
            if self.cell.step.parameters[name].kind == "matrix":
                found[name] = (*shape, *self._kernel_of(name, reads[name]))
            elif name in self.per_position:
                assert self.space is not None
                found[name] = (*shape, *self.space)
        return found

    def _kernel_of(self, name: str, reads_states: set[bool]) -> tuple[int, ...]:
        kernels = {self.recurrent_kernel_size if states else self.kernel_size for states in reads_states}
        if len(kernels) > 1:
            raise ValueError(
                f"{self.cell.name}: {name} multiplies the input and a state, so kernel_size {self.kernel_size} and "
                f"recurrent_kernel_size {self.recurrent_kernel_size} must be the same."
            )
        return kernels.pop()

    def _start(self, name: str, parameter: Tensor, how: Start | None) -> None:
        fan = self.hidden_size * math.prod(self.recurrent_kernel_size)
        if how is nn.init.eye_:
            how = identity_
        along = parameter.movedim(0, -1) if name in self.per_position else parameter  # lists go along the channels
        try:
            start(along, how, fan, blocks=self.cell.heads(name) > 1)
        except RuntimeError as error:
            if not callable(how):
                raise
            raise ValueError(
                f"{self.cell.name}: {name} starts as a matrix of a kind that a kernel {tuple(parameter.shape)} "
                f"cannot be ({error}). Give the layer init={{{name!r}: ...}} for kernels."
            ) from None

    def _stack(self) -> driver.Stack:
        return super()._stack()._replace(dims=self.dims)

    def forward(self, x: Any, hx: Any = None, **options: Any) -> Any:
        """Runs the layer over a sequence of images; as `Recurrent.forward`, with other shapes.

        Args:
            x: (T, B, C, *space), or (B, T, C, *space) with batch_first, or (T, C, *space), or a PackedSequence of such.
            hx: for each state (L, B, w, *space), or (L, w, *space) without batch; None takes the initial values.
            options: `lengths`, `resets` and `record` as there. Side inputs are (T, B, w, *space), or (B, w, *space)
                once a sequence; without `*space` they hold for all positions.

        Returns:
            y as x with the cell's output channels (twice that when bidirectional), and a tuple of the states at each
            row's end, (L, B, w, *space) each. With record, also a dictionary from name to (L, T, B, w, *space).

        Raises:
            TypeError, ValueError: for input that does not fit, or if the engine cannot serve.
        """
        if self.space is not None and isinstance(x, Tensor) and tuple(x.shape[-self.dims :]) != self.space:
            raise ValueError(
                f"{self.cell.name}: x has shape {tuple(x.shape)}, expected images of the size {self.space} (this "
                f"layer's space), since {', '.join(self.per_position)} have a value for each position."
            )
        return super().forward(x, hx, **options)

    def extra_repr(self) -> str:
        kernels = f"kernel_size={self.kernel_size}"
        if self.recurrent_kernel_size != self.kernel_size:
            kernels += f", recurrent_kernel_size={self.recurrent_kernel_size}"
        if self.per_position:
            kernels += f", per_position={self.per_position}, space={self.space}"
        return f"{super().extra_repr()}, {kernels}"


class ConvLSTM(ConvRecurrent):
    """The convolutional LSTM of Shi et al. (2015, arXiv:1506.04214): `ConvRecurrent` of `carousel.cells.conv_lstm`.

    Args:
        peepholes: "channel" for one weight a channel, which the parameter counts that the paper prints imply;
            "position" for one a channel and position, as its equations say, which needs `space`; None for none, which
            is `carousel.cells.lstm` with convolutions, as in Keras.
        options: as `ConvRecurrent`.

    >>> import torch
    >>> layer = ConvLSTM(input_channels=1, hidden_channels=8, kernel_size=3, num_layers=2)
    >>> y, (h, c) = layer(torch.randn(7, 2, 1, 16, 12))
    >>> y.shape, c.shape
    (torch.Size([7, 2, 8, 16, 12]), torch.Size([2, 2, 8, 16, 12]))
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: Kernel,
        num_layers: int = 1,
        *args: Any,
        peepholes: str | None = "channel",
        space: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        if peepholes not in ("channel", "position", None):
            raise ValueError(f'ConvLSTM: peepholes is {peepholes!r}, expected "channel", "position" or None.')
        cell = cells.lstm if peepholes is None else cells.conv_lstm
        super().__init__(
            cell,
            input_channels,
            hidden_channels,
            kernel_size,
            num_layers,
            *args,
            per_position=("V_*",) if peepholes == "position" else (),
            space=space,
            **options,
        )


def identity_(kernel: Tensor) -> Tensor:
    """Sets a kernel in place so that the convolution leaves its input as it is.

    >>> import torch
    >>> identity_(torch.empty(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    with torch.no_grad():
        middle = kernel.zero_()
        for k in kernel.shape[2:]:
            middle = middle.select(2, (k - 1) // 2)
        nn.init.eye_(middle)
    return kernel


def _dims(cell: Cell, dims: int | None, kernel_size: Kernel) -> int:
    """The number of axes: as said, or as many as the kernel has, or 2."""
    given = 2 if isinstance(kernel_size, int) else len(kernel_size)
    if dims is None:
        dims = given
    if dims not in (1, 2, 3):
        raise ValueError(f"{cell.name}: dims is {dims!r}, expected 1, 2 or 3 axes of an image.")
    return dims


def _kernel(cell: Cell, name: str, size: Kernel, dims: int) -> tuple[int, ...]:
    sizes = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sizes) != dims or any(not isinstance(k, int) or isinstance(k, bool) or k < 1 for k in sizes):
        raise ValueError(f"{cell.name}: {name} is {size!r}, expected a positive whole number, or {dims} of them.")
    return sizes


def _positions(
    cell: Cell, patterns: Sequence[str], space: Sequence[int] | None, dims: int
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """The vectors that have a value for each position, and the size of the images if it matters."""
    vectors = [name for name, parameter in cell.step.parameters.items() if parameter.kind == "vector"]
    for pattern in patterns:
        if not fnmatch.filter(vectors, pattern):
            known = ", ".join(vectors) or "none"
            raise ValueError(f"{cell.name}: per_position has {pattern!r}, but the cell's vectors are: {known}.")
    found = tuple(name for name in vectors if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))
    if not found:
        if space is not None:
            raise ValueError(f"{cell.name}: space is given, but no parameter is per_position; leave it out.")
        return (), None
    if space is None or len(space) != dims:
        raise ValueError(f"{cell.name}: space is {space!r}, expected the size of the images, {dims} numbers.")
    return found, tuple(space)
