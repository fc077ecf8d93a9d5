"""`Stream`: a layer that is fed step by step, at the lowest latency.

Legend: T time, B batch, D input features, L layers, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel.engines.native_stream import Prepared
from carousel.layers.drop_in import DropIn, OneState
from carousel.layers.inputs import Form, read_input, read_states
from carousel.layers.recurrent import Recurrent
from carousel.layers.snapshot import Snapshot


class Stream:
    """A layer that is fed one step, or a few, at a time, at the lowest latency.

    A layer that is called for one step looks at its weights anew and prepares the call each time; a stream has packed
    the weights and prepared the call before, and keeps the state. It computes what the layer computes in evaluation.

    Args:
        layer: a `Recurrent`, `LSTM`, `GRU` or `RNN` on the CPU that is not bidirectional.
        batch_size: B, how many sequences run side by side.
        threads: how many threads it may use, where they pay; None is `torch.get_num_threads()`.
        precision: what the factors of products are rounded to: None for the layer's dtype, or where that is float32
            "bfloat16" or "int8", with which a step reads a half or a quarter of the bytes. With "int8" the steps in
            which weights and inputs are counted are chosen for each row. Sums and states stay in the layer's dtype.
        sides: the cell's side inputs given once a sequence, (B, w).

    The output of a call is overwritten by the next one: `clone()` it to keep it. There are no gradients. The stream has
    a copy of the layer's parameters and does not notice when they change: call `refresh()` after an optimizer's step,
    `load_state_dict` or any other write. It is for one thread at a time; pickled, it takes its layer along.

    Raises:
        TypeError, ValueError: for a layer or an argument that does not fit.

    >>> import torch
    >>> import carousel as ca
    >>> layer = ca.LSTM(3, 4)
    >>> stream = ca.Stream(layer)
    >>> x = torch.randn(7, 1, 3)
    >>> y = torch.stack([stream(step).clone() for step in x])
    >>> torch.testing.assert_close(y, layer(x)[0])
    >>> h, c = stream.state
    >>> h.shape, stream.steps
    (torch.Size([1, 1, 4]), 7)
    """

    _snapshot: Snapshot
    _dtype: torch.dtype
    _chunk: Prepared

    def __init__(
        self,
        layer: nn.Module,
        batch_size: int = 1,
        *,
        threads: int | None = None,
        precision: str | None = None,
        **sides: Tensor,
    ) -> None:
        if not isinstance(layer, Recurrent | DropIn):
            raise TypeError(f"Stream: layer is a {type(layer).__name__}, expected a Recurrent, LSTM, GRU or RNN.")
        self.layer = layer
        self.batch_size = _count("batch_size", batch_size)
        self.threads = torch.get_num_threads() if threads is None else _count("threads", threads)
        self.precision = precision
        #: How many steps there were since the sequence began, which is what cells that read the step index are given.
        self.steps = 0
        self._given = sides
        self._states: list[Tensor] = []
        self.refresh()

    def __call__(self, x: Tensor, **sides: Tensor) -> Tensor:
        """One step: x (B, D) gives y (B, w); where B is 1 also x (D,) gives y (w,). Side inputs of a step are (B, w).

        y is overwritten by the next call. Raises TypeError, ValueError for input that does not fit.
        """
        fits = type(x) is Tensor and x.shape in self._frames and x.dtype is self._dtype and x.is_cpu
        if not fits or x.requires_grad or not x.is_contiguous():
            x = self._read_step(x)
        if sides or self._asks:
            once = {name: side.unsqueeze(0) if isinstance(side, Tensor) else side for name, side in sides.items()}
            self._fill(self._one, self._form(x.dim() == 2, False), once, x.unsqueeze(0))
        self._step(x.data_ptr())
        self.steps += 1
        return self._y if x.dim() == 2 else self._y_row

    def run(self, x: Tensor, **sides: Tensor) -> Tensor:
        """Several steps in one call, which takes less time: x (T, B, D), or (B, T, D) with the layer's batch_first, or
        (T, D) where B is 1, gives y alike. Side inputs of a step are laid out as x.

        y is overwritten by the next call of as many steps. Raises TypeError, ValueError for input that does not fit.

        >>> import torch
        >>> import carousel as ca
        >>> stream = ca.Stream(ca.GRU(3, 4))
        >>> stream.run(torch.randn(7, 3)).shape
        torch.Size([7, 4])
        """
        form, x = self._read(x, self._snapshot.stack.batch_first)
        if len(self._chunk.y) != len(x):
            self._chunk = self._prepare(len(x))
        self._fill(self._chunk, form, sides, x)
        self._chunk.run(x.data_ptr())
        self.steps += len(x)
        return form.restore(self._chunk.y)

    @property
    def state(self) -> Any:
        """A copy of the states, (L, B, w) each, in a tuple; of `GRU` and `RNN` h alone. To be set likewise.

        >>> import torch
        >>> import carousel as ca
        >>> stream = ca.Stream(ca.GRU(3, 4))
        >>> before, y = stream.state, stream(torch.ones(3)).clone()
        >>> stream.state = before
        >>> torch.equal(stream(torch.ones(3)), y)
        True
        """
        copies = tuple(state.clone() for state in self._states)
        return copies[0] if isinstance(self.layer, OneState) else copies

    @state.setter
    def state(self, value: Any) -> None:
        given, snapshot = (value,) if isinstance(self.layer, OneState) else value, self._snapshot
        stack, form = snapshot.stack, self._form(True, False)
        read = read_states(form, given, stack.cell.states, stack.state_shapes, stack.num_layers, snapshot.x)
        for own, state in zip(self._states, read or snapshot.initial, strict=True):
            own.copy_(state.detach())

    def reset(self, rows: Tensor | Sequence[int] | None = None) -> None:
        """Begins a new sequence: all states take their initial values, and `steps` is 0.

        With `rows`, a bool tensor (B,) or whole numbers, the states of these rows do so and `steps` goes on, as with
        the `resets` of a layer. Raises ValueError for rows that are not there.

        >>> import carousel as ca
        >>> stream = ca.Stream(ca.LSTM(3, 4), batch_size=2)
        >>> stream.reset(rows=[1])
        """
        chosen = slice(None) if rows is None else self._rows(rows)
        for own, initial in zip(self._states, self._snapshot.initial, strict=True):
            own[:, chosen] = initial
        self.steps = 0 if rows is None else self.steps

    def refresh(self) -> None:
        """Takes the layer's parameters as they are now, and packs them. The state stays.

        Raises ValueError where the layer cannot be streamed.

        >>> import torch
        >>> import carousel as ca
        >>> layer = ca.GRU(3, 4)
        >>> stream = ca.Stream(layer)
        >>> _ = torch.nn.init.zeros_(layer.weight_ih_l0)
        >>> stream.refresh()
        """
        with torch.inference_mode(False), torch.no_grad():
            snapshot = Snapshot(self.layer, self.batch_size, self.precision, self._given)
            if self._states and self._dtype is not snapshot.x.dtype:
                was, now = self._dtype, snapshot.x.dtype
                raise ValueError(f"{snapshot.form.name}: the layer was {was} and is {now} now. Make a new Stream.")
            self._states = self._states or [state.repeat(1, self.batch_size, 1) for state in snapshot.initial]
        self._snapshot, x = snapshot, snapshot.x
        self._chunk = self._one = self._prepare(1)
        self._step, self._y, self._y_row = self._one.run, self._one.y[0], self._one.y[0, 0]
        self._dtype, self._frames = x.dtype, (x.shape[1:], x.shape[2:])[: 2 if self.batch_size == 1 else 1]
        self._asks = snapshot.stack.cell.time is not None or bool(snapshot.declared("step"))

    def _prepare(self, T: int) -> Prepared:
        with torch.inference_mode(False):
            return self._snapshot.prepare(T, self._states, self.threads)

    def _form(self, batched: bool, batch_first: bool) -> Form:
        return Form(self._snapshot.form.name, batch_first, batched)

    def _read(self, x: Tensor, batch_first: bool) -> tuple[Form, Tensor]:
        """The form of x, and x (T, B, D) as the core can read it."""
        stack, like, name = self._snapshot.stack, self._snapshot.x, self._snapshot.form.name
        if isinstance(x, PackedSequence):
            raise TypeError(f"{name}: x is a PackedSequence, expected a tensor.")
        form, x, _ = read_input(name, x, batch_first, stack.sizes["input_size"], like, None)
        if x.shape[1] != self.batch_size:
            raise ValueError(
                f"{name}: x has a batch of {x.shape[1]}, expected {self.batch_size} (this stream's batch_size)."
            )
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name}: x requires a gradient, but a stream has none. Pass x.detach().")
        return form, x.detach().to(like.dtype).contiguous()

    def _read_step(self, x: Tensor) -> Tensor:
        """x (B, D) or (D,) as the core can read it."""
        if isinstance(x, Tensor) and x.dim() not in (1, 2):
            name, (_, B, D) = self._snapshot.form.name, self._snapshot.x.shape
            raise ValueError(
                f"{name}: x has shape {tuple(x.shape)}, expected (B, D) or (D,) with B = {B}, D = {D}: one step."
            )
        form, x = self._read(x.unsqueeze(0) if isinstance(x, Tensor) else x, False)
        return form.restore(x).squeeze(0)

    def _fill(self, prepared: Prepared, form: Form, sides: Mapping[str, Tensor], x: Tensor) -> None:
        """Puts what changes with the step besides x where the core reads it."""
        for name, side in self._snapshot.read_sides(form, "step", sides, x).items():
            prepared.sides[name].copy_(side.detach())
        torch.arange(self.steps, self.steps + len(x), out=prepared.time.view(-1))

    def _rows(self, rows: Tensor | Sequence[int]) -> Tensor:
        chosen, B, name = torch.as_tensor(rows), self.batch_size, self._snapshot.form.name
        if chosen.dtype == torch.bool:
            if chosen.shape != (B,):
                raise ValueError(f"{name}: rows has shape {tuple(chosen.shape)}, expected ({B},): one for each row.")
            return chosen
        whole = chosen.numel() == 0 or not chosen.is_floating_point()
        if not whole or chosen.dim() != 1 or not all(0 <= row < B for row in chosen.tolist()):
            raise ValueError(
                f"{name}: rows is {rows!r}, expected whole numbers from 0 to {B - 1}, or a bool tensor ({B},)."
            )
        return chosen.long()

    def __getstate__(self) -> dict[str, Any]:
        names = ("layer", "batch_size", "threads", "precision", "steps", "_given", "_states", "_dtype")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.refresh()


def _count(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Stream: {name} is {value!r}, expected a positive whole number.")
    return value
