"""`Recurrent`: a layer, or a stack of them, of any cell.

Legend: T time, B batch, D input features, H hidden units, L layers x directions, w the width of what is meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel import engines
from carousel.engines.params import Parameters
from carousel.graph import AnyCell, Cell, TensorCell
from carousel.graph.patterns import lookup, override
from carousel.graph.sizes import hint
from carousel.layers import stack as driver
from carousel.layers.connections import Highway
from carousel.layers.connections import connections as connect
from carousel.layers.initial import Start, check_patterns, start
from carousel.layers.inputs import Lengths
from carousel.layers.lookup import tensor_of
from carousel.layers.masks import check_drop, check_keep


class Recurrent(nn.Module):
    """Applies a cell over a sequence, in as many layers and directions as wanted.

    Args:
        cell: the equations, made by `carousel.cell` or `carousel.tensor_cell`.
        input_size: D, the number of input features.
        hidden_size: H, the number of hidden units.
        num_layers: each layer above the first reads the output of the one below.
        bidirectional: a second set of parameters runs from each row's end; outputs are concatenated.
        batch_first: everything with a time axis is (B, T, ...), states excepted.
        dropout: probability to drop, between layers, in training.
        connections: "residual" or "highway" carries what a layer above the first reads past it: x + y, or t * y +
            (1 - t) * x with a learned gate t.
        learn_initial: makes the states' initial values parameters, `initial_h_l0` and so on.
        engine: "auto", "eager", "native", or "whole" for cells with a form for a whole sequence.
        checkpoint_every: keeps the states at every k-th step only, and computes the rest again in the backward pass.
        masks: for masks of the cell, the probability to keep instead of the cell's own.
        init: how parameters start in this layer, instead of the cell's own `init`: by name or pattern a number, a list,
            or a function like those of `torch.nn.init`.
        weight_dropout: by name or pattern of parameters the probability to drop each of their entries in training, once
            for all steps of a call (Merity et al., 2018, arXiv:1708.02182): {"U_*": 0.5}.
        sizes: the cell's further sizes, such as `proj_size=64`.

    Parameters carry the equations' names with PyTorch's endings: `W_f_l0`, `W_f_l0_reverse`, `W_f_l1`.

    Raises:
        TypeError, ValueError: for an argument that does not fit the cell.

    >>> import carousel as ca
    >>> layer = Recurrent(ca.cells.lstm, input_size=3, hidden_size=4, num_layers=2)
    >>> y, (h, c) = layer(torch.randn(7, 2, 3))
    >>> y.shape, c.shape
    (torch.Size([7, 2, 4]), torch.Size([2, 2, 4]))
    """

    _least_input = 1

    def __init__(
        self,
        cell: AnyCell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        connections: str | None = None,
        learn_initial: bool = False,
        engine: str = "auto",
        checkpoint_every: int | None = None,
        masks: Mapping[str, float] | None = None,
        init: Mapping[str, Any] | None = None,
        weight_dropout: Mapping[str, float] | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **sizes: int,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell | TensorCell):
            by_name = f" The registered one is carousel.cells.load({cell!r})." if isinstance(cell, str) else ""
            kind = type(cell).__name__
            raise TypeError(f"Recurrent: cell is a {kind}, expected a cell made by @carousel.cell.{by_name}")
        for name in sizes:
            if name not in cell.sizes:
                known = dict.fromkeys((*cell.sizes, *inspect.signature(type(self)).parameters))
                raise TypeError(f"{cell.name}: there is no argument or size {name!r}.{hint(name, known)}")
        self.cell = cell
        self.input_size = check_count(cell, "input_size", input_size, self._least_input)
        self.hidden_size = check_count(cell, "hidden_size", hidden_size)
        self.sizes = {"input_size": input_size, "hidden_size": hidden_size, **sizes}
        if "hidden_size" not in cell.sizes:
            del self.sizes["hidden_size"]
        self._output_width, self._state_shapes = cell.output_width(**self.sizes), cell.state_shapes(**self.sizes)
        self.num_layers = check_count(cell, "num_layers", num_layers)
        self.bidirectional = bidirectional
        self.batch_first = batch_first
        self.dropout = dropout
        self.learn_initial = learn_initial
        self.engine = engines.check_name(engine)
        self.checkpoint_every = driver.check_every(cell.name, checkpoint_every)
        if checkpoint_every is not None and cell.time is not None:
            raise ValueError(f"{cell.name} reads the step index, so checkpoint_every cannot cut its sequences.")
        self.masks = dict(masks or {})
        if not 0 <= dropout <= 1:
            raise ValueError(f"{cell.name}: dropout is {dropout}, expected a probability from 0 to 1.")
        check_keep(cell.name, self.masks, cell.sides)
        self.init, self.weight_dropout = dict(init or {}), dict(weight_dropout or {})
        check_patterns(cell, "init", self.init)
        check_patterns(cell, "weight_dropout", self.weight_dropout)
        check_drop(cell.name, self.weight_dropout)
        width = (2 if bidirectional else 1) * self._output_width
        self.connections = connect(cell.name, connections, num_layers, width, device=device, dtype=dtype)
        self._check_stack()
        self._make_parameters({"device": device, "dtype": dtype})
        learned = [cell.fixed_value(name) is None for name in self._names]
        rates = [lookup(self.weight_dropout, name) or 0.0 for name in self._names]
        self._dropped = tuple(rate if yes else 0.0 for rate, yes in zip(rates, learned, strict=True))
        self.reset_parameters()

    def _check_stack(self) -> None:
        """ValueError where a state is as wide as the input, which differs between the layers."""
        if self.num_layers == 1:
            return
        above = self.cell.state_shapes(**self._stack().layer_sizes(1))
        for state, first, other in zip(self.cell.states, self._state_shapes, above, strict=True):
            if first != other:
                raise ValueError(
                    f"{self.cell.name}: the state {state} has the shape {first} in the first layer and {other} above "
                    f"it, since it follows the input's width, so states cannot be stacked. Make one Recurrent a layer, "
                    f"or let input_size be the output's width."
                )

    def _make_parameters(self, factory: dict[str, Any]) -> None:
        cell, stack = self.cell, self._stack()
        self._names = tuple(cell.shapes(**self.sizes))
        self._layout = tuple((name, k, 0, 0) for k, name in enumerate(self._names))
        for k, end in enumerate(driver.suffixes(self.num_layers, self.bidirectional)):
            sizes = stack.layer_sizes(k // stack.directions)
            for name, shape in self._shapes(sizes).items():
                fixed = cell.fixed_value(name)
                if fixed is None:
                    self.register_parameter(name + end, nn.Parameter(torch.empty(shape, **factory)))
                else:
                    self.register_buffer(name + end, torch.full(shape, float(fixed), **factory))
            if self.learn_initial:
                for state, shape in zip(cell.states, self._state_shapes, strict=True):
                    begin = nn.Parameter(torch.empty(shape, **factory))
                    self.register_parameter(f"initial_{state}{end}", begin)

    def reset_parameters(self) -> None:
        """Draws all parameters anew: as `init` says, the layer's before the cell's, otherwise uniformly within
        1/sqrt(hidden_size)."""
        cell, init = self.cell, override(self.cell.init, self.init)
        for end in driver.suffixes(self.num_layers, self.bidirectional):
            for name in self._names:
                fixed = cell.fixed_value(name)
                self._start(name, getattr(self, name + end), lookup(init, name) if fixed is None else fixed)
            for state in cell.states if self.learn_initial else ():
                start(getattr(self, f"initial_{state}{end}"), cell.initial[state], self.hidden_size)
        for connection in self.connections or ():
            if isinstance(connection, Highway):
                connection.reset_parameters()

    def _shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        return self.cell.shapes(**sizes)

    def _start(self, name: str, parameter: Tensor, how: Start | None) -> None:
        start(parameter, how, self.hidden_size, blocks=self.cell.heads(name) > 1)

    def _stack(self) -> driver.Stack:
        return driver.Stack(
            name=f"{type(self).__name__}({self.cell.name})",
            cell=self.cell,
            sizes=self.sizes,
            output_width=self._output_width,
            state_shapes=self._state_shapes,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            batch_first=self.batch_first,
            dropout=self.dropout,
            training=self.training,
            engine=self.engine,
            weights=self._weights,
            initial=self._initial,
            masks=self.masks,
            checkpoint_every=self.checkpoint_every,
            connections=tuple(self.connections or ()),
        )

    def _weights(self, end: str) -> Parameters:
        weights = [tensor_of(self, name + end) for name in self._names]
        if self.weight_dropout and self.training:
            weights = [F.dropout(w, rate) if rate else w for w, rate in zip(weights, self._dropped, strict=True)]
        return Parameters(weights, self._layout)

    def _initial(self, end: str, x: Tensor) -> list[Tensor] | None:
        if self.learn_initial:
            return [getattr(self, f"initial_{state}{end}") for state in self.cell.states]
        if not any(self.cell.initial.values()):
            return None  # zeros
        states = zip(self.cell.states, self._state_shapes, strict=True)
        return [x.new_full(shape, self.cell.initial[state]) for state, shape in states]

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: Sequence[Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        record: Sequence[str] = (),
        **sides: Tensor,
    ) -> Any:
        """Runs the layer over a sequence.

        Args:
            x: (T, B, D), or (B, T, D) with batch_first, or (T, D), or a PackedSequence.
            hx: for each state of the cell (L, B, w), where w is its shape if it is a matrix, or (L, w) without batch;
                None takes the initial values.
            lengths: (B,) whole numbers from 0 to T. Past a row's end x is never read and y is zero.
            resets: (T, B) bool, laid out as x. Before a step that is set, the row's states become their initial
                values; in the reverse direction the cut lies between that step and the one before.
            record: names of quantities to return at every step.
            sides: the cell's side inputs: (T, B, w) laid out as x, or (B, w) once a sequence. All layers read them.

        Returns:
            y as x with the cell's output width (twice that when bidirectional), and a tuple of the states at each
            row's end, (L, B, w) each. With record, also a dictionary from name to (L, T, B, w), or (L, B, T, w) with
            batch_first.

        Raises:
            TypeError, ValueError: for input that does not fit, or if the engine cannot serve.
        """
        y, state, seen = driver.forward(self._stack(), x, hx, lengths, resets, record, sides)
        return (y, state, seen) if record else (y, state)

    def step(self, x: Tensor, state: Sequence[Tensor] | None = None, **sides: Tensor) -> tuple[Tensor, driver.States]:
        """Advances one step: x (B, D) or (D,), states (L, B, w) or (L, w), side inputs (B, w).

        Returns y (B, w) and the new states. Raises ValueError for a bidirectional layer.

        >>> import carousel as ca
        >>> layer = Recurrent(ca.cells.lstm, input_size=3, hidden_size=4)
        >>> y, state = layer.step(torch.randn(2, 3))
        >>> y, state = layer.step(torch.randn(2, 3), state)
        """
        if self.weight_dropout and self.training:
            raise ValueError(
                f"Recurrent({self.cell.name}): weight_dropout holds for a whole sequence, but step() would draw it at "
                f"every step. Call eval()."
            )
        return driver.step(self._stack(), x, state, sides)

    def extra_repr(self) -> str:
        parts = [self.cell.name, str(self.input_size), str(self.hidden_size)]
        parts += [f"{n}={v}" for n, v in self.sizes.items() if n not in ("input_size", "hidden_size")]
        defaults: dict[str, Any] = {"num_layers": 1, "bidirectional": False, "batch_first": False, "dropout": 0}
        defaults |= {"learn_initial": False, "engine": "auto", "checkpoint_every": None, "masks": {}}
        defaults |= {"weight_dropout": {}}
        parts += [f"{n}={getattr(self, n)!r}" for n, default in defaults.items() if getattr(self, n) != default]
        return ", ".join(parts)


def check_count(cell: AnyCell, name: str, value: int, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{cell.name}: {name} is {value!r}, expected a whole number.")
    if value < least:
        raise ValueError(f"{cell.name}: {name} is {value}, expected at least {least}.")
    return value
