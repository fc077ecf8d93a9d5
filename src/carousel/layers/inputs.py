"""What a user may pass to a layer, checked and brought to the one layout that engines know; and the way back.

Images are rows to the engines: (B, C, *space) is a row of C features for each sample and position.
Legend: T time, B batch, D input features or C channels, S positions (1 without images), N = B * S rows, L layers x
directions, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel.space.images import to_images, to_rows

if TYPE_CHECKING:
    from carousel.graph import Side

Lengths = Tensor | Sequence[int]
AXES = {0: (), 1: ("X",), 2: ("Y", "X"), 3: ("Z", "Y", "X")}


@dataclass
class Form:
    """The form of the input that the output is to have as well: packed, unbatched, batch first, images of some size."""

    name: str
    batch_first: bool
    batched: bool = True
    packed: PackedSequence | None = None
    dims: int = 0
    space: tuple[int, ...] = ()

    @property
    def positions(self) -> int:
        """S, how many positions an image has."""
        return torch.Size(self.space).numel()

    def rows(self, value: Tensor) -> Tensor:
        """(..., B, w, *space) as rows (..., N, w)."""
        return to_rows(value, self.dims) if self.dims else value

    def images(self, value: Tensor) -> Tensor:
        """The way back from `rows`."""
        return to_images(value, self.space) if self.dims else value

    def each_row(self, value: Tensor | None, at: int = -1) -> Tensor | None:
        """What is said of each sample, (B) at the axis `at`, for each of its rows."""
        return value.repeat_interleave(self.positions, at) if self.dims and value is not None else value

    def axes(self, *tail: str) -> str:
        """The shape that something with a time axis is to have, for error messages."""
        if not self.batched:
            return _shape(["T", *tail])
        return _shape(["B", "T", *tail] if self.batch_first else ["T", "B", *tail])

    def time_major(self, value: Tensor) -> Tensor:
        """`value` with (T, B) in front."""
        if not self.batched:
            return value.unsqueeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def restore(self, value: Tensor) -> Tensor:
        """The way back from `time_major`, for outputs (T, B, w)."""
        if not self.batched:
            return value.squeeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def restore_seen(self, value: Tensor) -> Tensor:
        """The way back for what was recorded, (L, T, B, w)."""
        if not self.batched:
            return value.squeeze(2)
        return value.transpose(1, 2) if self.batch_first else value

    def pack(self, y: Tensor, lengths: Tensor) -> PackedSequence:
        """y (T, B, w) packed as the input was."""
        assert self.packed is not None
        order = self.packed.sorted_indices
        if order is not None:
            y, lengths = y.index_select(1, order), lengths[order.to(lengths.device)]
        data = pack_padded_sequence(y, lengths).data
        return PackedSequence(data, self.packed.batch_sizes, order, self.packed.unsorted_indices)


def read_input(
    name: str,
    x: Tensor | PackedSequence,
    batch_first: bool,
    input_size: int,
    weight: Tensor | None,
    lengths: Lengths | None,
    dims: int = 0,
) -> tuple[Form, Tensor, Tensor | None]:
    """The form of `x`, then x (T, N, D), then its lengths (B,) or None. `dims` counts the axes of an image.

    Raises TypeError or ValueError, saying what was expected, for another type, shape, dtype or device.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ValueError(f"{name}: lengths was given with a PackedSequence, which has its own. Leave it out.")
        padded, own = pad_packed_sequence(x)
        form = Form(name, batch_first, packed=x, dims=dims)
        _check_input(form, padded, input_size, weight)
        return form, form.rows(padded), own
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: x is a {type(x).__name__}, expected a tensor or a PackedSequence.")
    form = Form(name, batch_first, batched=x.dim() != 2 + dims, dims=dims)
    _check_input(form, x, input_size, weight)
    major = form.time_major(x)
    return form, form.rows(major), read_lengths(name, lengths, major.shape[0], major.shape[1])


def autocasting(x: Tensor) -> bool:
    """Whether autocast is on for x's device."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def without_autocast(x: Tensor) -> AbstractContextManager:
    """A block in which autocast is off on x's device: recurrences do not bear half precision well."""
    return torch.autocast(x.device.type, enabled=False) if autocasting(x) else nullcontext()


def _check_input(form: Form, x: Tensor, input_size: int, weight: Tensor | None) -> None:
    name, dims = form.name, form.dims
    if x.dim() not in (2 + dims, 3 + dims) or x.shape[-1 - dims] != input_size:
        letter, called = ("C", "input_channels") if dims else ("D", "input_size")
        raise ValueError(
            f"{name}: x has shape {tuple(x.shape)}, expected {form.axes(letter, *AXES[dims])} with {letter} = "
            f"{input_size} (this layer's {called})."
        )
    form.space = tuple(x.shape[x.dim() - dims :])
    if 0 in form.space:
        raise ValueError(f"{name}: x has shape {tuple(x.shape)}, which are images without a single position.")
    if weight is not None:
        check_kind(name, x, weight)


def check_kind(name: str, x: Tensor, weight: Tensor) -> None:
    """ValueError unless x has the device of the parameters, and their dtype where autocast does not see to it."""
    if x.device != weight.device:
        raise ValueError(f"{name}: x is on {x.device}, the parameters on {weight.device}. Move one to the other.")
    if x.dtype != weight.dtype and not autocasting(x):
        raise ValueError(
            f"{name}: x is {_dtype(x)}, the parameters are {_dtype(weight)}. Convert x with "
            f"x.to(torch.{_dtype(weight)}), or the layer with layer.to(torch.{_dtype(x)})."
        )


def read_lengths(name: str, lengths: Lengths | None, T: int, B: int) -> Tensor | None:
    """Lengths as (B,) int64 on the CPU; ValueError unless there are B whole numbers from 0 to T."""
    if lengths is None:
        return None
    values = torch.as_tensor(lengths)
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name}: lengths has dtype {_dtype(values)}, expected whole numbers.")
    if values.dim() == 0 and B == 1:
        values = values.unsqueeze(0)
    if values.shape != (B,):
        raise ValueError(f"{name}: lengths has shape {tuple(values.shape)}, expected ({B},): one for each row of x.")
    values = values.to("cpu", torch.int64)
    if not torch.compiler.is_compiling() and B > 0:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > T:
            raise ValueError(f"{name}: lengths lie between {low} and {high}, expected 0 to {T} (x has {T} steps).")
    return values


def read_resets(form: Form, resets: Tensor | None, x: Tensor) -> Tensor | None:
    """Resets as (T, N) bool on x's device."""
    if resets is None:
        return None
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        given = _dtype(resets) if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"{form.name}: resets is {given}, expected a bool tensor of shape {form.axes()}.")
    _check_axes(form, "resets", resets, x, ())
    return form.each_row(form.time_major(resets).to(x.device))


def read_sides(
    form: Form, declared: Mapping[str, Side], widths: Mapping[str, int], sides: Mapping[str, Tensor], x: Tensor
) -> dict[str, Tensor]:
    """Side inputs as (T, N, w) or (N, w) in x's dtype. Masks may be left out; the layer draws them.

    Beside images they are images too, or have no positions: then they are the same at all of them.
    """
    for name in sides:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise TypeError(f"{form.name}: there is no side input {name!r}; this cell's side inputs: {known}.")
    found = {}
    for name, side in declared.items():
        if name in sides:
            found[name] = _read_side(form, name, side, widths[name], sides[name], x)
        elif side.keep is None:
            shape = form.axes(str(widths[name])) if side.kind == "step" else f"(B, {widths[name]})"
            raise TypeError(f"{form.name}: the side input {name} is missing; pass {name}= with shape {shape}.")
    return found


def _read_side(form: Form, name: str, side: Side, width: int, value: Tensor, x: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{form.name}: {name} is a {type(value).__name__}, expected a tensor.")
    flat = value.dim() == (2 if side.kind == "step" else 1) + form.batched
    frame = (width,) if flat else (width, *form.space)
    if side.kind == "step":
        _check_axes(form, name, value, x, frame)
        major = form.time_major(value).to(x)
    else:
        major = (value if form.batched else value.unsqueeze(0)).to(x)
        B = x.shape[1] // form.positions
        if tuple(major.shape) != (B, *frame):
            raise ValueError(
                f"{form.name}: {name} has shape {tuple(value.shape)}, expected {_shape(['B', *map(str, frame)])} with "
                f"B = {B}, once a sequence."
            )
    if not flat:
        return form.rows(major)
    spread = form.each_row(major, -2)
    assert spread is not None
    return spread


def _check_axes(form: Form, what: str, value: Tensor, x: Tensor, tail: tuple[int, ...]) -> None:
    T, B = x.shape[0], x.shape[1] // form.positions
    expected = (T, *tail) if not form.batched else (T, B, *tail)
    if form.batched and form.batch_first:
        expected = (B, T, *tail)
    if tuple(value.shape) != expected:
        raise ValueError(
            f"{form.name}: {what} has shape {tuple(value.shape)}, expected {form.axes(*map(str, tail))} "
            f"with T = {T}" + (f" and B = {B}." if form.batched else ".")
        )


def read_states(
    form: Form, hx: Sequence[Tensor] | None, names: Sequence[str], shapes: Sequence[tuple[int, ...]], L: int, x: Tensor
) -> tuple[Tensor, ...] | None:
    """Initial states as a tuple of (L, N, w), or None; errors name the state that is wrong."""
    if hx is None:
        return None
    if isinstance(hx, Tensor) or len(hx) != len(names):
        given = "a tensor" if isinstance(hx, Tensor) else f"a tuple of {len(hx)}"
        raise TypeError(f"{form.name}: hx is {given}, expected a tuple of {len(names)}: {_shape(names)}.")
    B, read = x.shape[1] // form.positions, []
    for name, shape, state in zip(names, shapes, hx, strict=True):
        frame = (*shape, *form.space)
        if not isinstance(state, Tensor):
            raise TypeError(f"{form.name}: hx's {name} is a {type(state).__name__}, expected a tensor.")
        if tuple(state.shape) != ((L, B, *frame) if form.batched else (L, *frame)):
            axes = ["L", "B", *map(str, frame)] if form.batched else ["L", *map(str, frame)]
            raise ValueError(
                f"{form.name}: hx's {name} has shape {tuple(state.shape)}, expected {_shape(axes)} with L = {L} "
                f"(layers x directions)" + (f" and B = {B}." if form.batched else ".")
            )
        if state.device != x.device:
            raise ValueError(f"{form.name}: hx's {name} is on {state.device}, x on {x.device}. Move one to the other.")
        if state.dtype != x.dtype and not autocasting(x):
            raise ValueError(f"{form.name}: hx's {name} is {_dtype(state)}, x is {_dtype(x)}. Convert one of them.")
        read.append(form.rows(state.to(x.dtype) if form.batched else state.to(x.dtype).unsqueeze(1)))
    return tuple(read)


def _shape(axes: Sequence[str]) -> str:
    return f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
