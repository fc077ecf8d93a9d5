"""What the blocks and the stack share: how they read a sequence, whose layout and meaning are those of `Recurrent`.

Legend: T time, B batch, D the width of what goes in and comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel.engines.rows import within
from carousel.layers.inputs import Lengths, autocasting, read_input, read_resets

Shapes = Mapping[str, tuple[int, ...]]
State = tuple[Tensor, ...]


class Timing(NamedTuple):
    """Which steps belong to a row, and where it starts afresh.

    lengths: (B,) int64 on the CPU, or None where all rows have T steps.
    active: (T, B) bool, the steps within each row's length, or None likewise.
    resets: (T, B) bool, before which steps states become their initial values; only within the length; or None.
    """

    lengths: Tensor | None
    active: Tensor | None
    resets: Tensor | None


class SequenceNet(nn.Module):
    """A net from a sequence (T, B, D) to one of the same shape, with states between one call and the next.

    A subclass has `scan`, which may take for granted that all is checked, time comes first, and x is zero past each
    row's end; and `read`, which checks its state and adds the batch to it where there is none.
    """

    def __init__(self, size: int, dropout: float, batch_first: bool) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}: size is {size!r}, expected a positive whole number.")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is {dropout}, expected a probability from 0 to 1.")
        self.size, self.batch_first = size, batch_first

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: Any = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Any, Any]:
        """Runs over a sequence.

        Args:
            x: (T, B, D), or (B, T, D) with batch_first, or (T, D), or a PackedSequence.
            state: what a call before this one returned; None starts afresh.
            lengths: (B,) whole numbers from 0 to T. Past a row's end x is never read and y is zero.
            resets: (T, B) bool, laid out as x. Before a step that is set, the row starts afresh.

        Returns:
            y as x, and the state at each row's end.

        Raises:
            TypeError, ValueError: for input that does not fit.
        """
        weight = next(self.parameters())
        form, x, lengths = read_input(type(self).__name__, x, self.batch_first, self.size, weight, lengths)
        x = x.to(weight.dtype)  # another one if autocast made it so, which the residual stream would not bear well
        state = None if state is None else self.read(form.name, state, x, form.batched)
        resets = read_resets(form, resets, x)
        active = None if lengths is None else within(lengths, len(x), x.device)  # (T, B, 1)
        if active is not None:
            x = torch.where(active, x, 0)
            resets = None if resets is None else resets & active.squeeze(-1)
        y, state = self.scan(x, state, Timing(lengths, None if active is None else active.squeeze(-1), resets))
        y = y if active is None else torch.where(active, y, 0)
        state = state if form.batched else without_batch(state)
        if form.packed is not None:
            assert lengths is not None
            return form.pack(y, lengths), state
        return form.restore(y), state

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Advances one step: x (B, D) or (D,) gives y of that shape, and the new state.

        The same numbers as one step of a sequence. Raises ValueError for x of another shape.
        """
        if x.dim() not in (1, 2):
            name, D = type(self).__name__, self.size
            raise ValueError(f"{name}: x has shape {tuple(x.shape)}, expected (B, D) or (D,) with D = {D}: one step.")
        sequence = x.unsqueeze(1 if self.batch_first and x.dim() == 2 else 0)
        y, state = self(sequence, state)
        return y.view(x.shape), state

    def scan(self, x: Tensor, state: Any, timing: Timing) -> tuple[Tensor, Any]:
        """y (T, B, D) and the new state, from x (T, B, D) and a state or None."""
        raise NotImplementedError

    def read(self, name: str, state: Any, x: Tensor, batched: bool) -> Any:
        """The state that a user passed, checked, with a batch of one if there was none; errors begin with `name`."""
        raise NotImplementedError


def read_state(name: str, shapes: Shapes, state: Any, x: Tensor, batched: bool) -> State:
    """The states of one block, each (B, *shape). Raises TypeError or ValueError, naming the one that is wrong."""
    if not isinstance(state, Sequence) or len(state) != len(shapes):
        given = f"a tuple of {len(state)}" if isinstance(state, Sequence) else f"a {type(state).__name__}"
        raise TypeError(f"{name}: state is {given}, expected a tuple of {len(shapes)}: ({', '.join(shapes)}).")
    read, B = [], (x.shape[1],) if batched else ()
    for (part, shape), value in zip(shapes.items(), state, strict=True):
        if tuple(value.shape) != (*B, *shape):
            raise ValueError(f"{name}: state's {part} has shape {tuple(value.shape)}, expected {(*B, *shape)}.")
        if value.device != x.device or (value.dtype != x.dtype and not autocasting(x)):
            raise ValueError(
                f"{name}: state's {part} is {value.dtype} on {value.device}, x is {x.dtype} on {x.device}: expected "
                f"the same. Convert one of them."
            )
        value = value.to(x.dtype)  # autocast made it another one
        read.append(value if batched else value.unsqueeze(0))
    return tuple(read)


def without_batch(state: Any) -> Any:
    """Every tensor of a state (1, ...) as (...)."""
    return state.squeeze(0) if isinstance(state, Tensor) else tuple(map(without_batch, state))
