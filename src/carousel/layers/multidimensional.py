"""`MultiDimensional` and `MDLSTM`: cells that go on along several axes at once, over images and volumes.

Legend: B batch, D input features, H hidden units, *space the n axes of an image, R scan directions, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from carousel import cells, engines
from carousel.engines.params import Parameters
from carousel.graph import Cell
from carousel.graph.patterns import lookup, override
from carousel.layers.initial import check_patterns, start
from carousel.layers.inputs import check_kind, without_autocast
from carousel.layers.recurrent import check_count
from carousel.layers.stack import check_record
from carousel.space import wavefront


class MultiDimensional(nn.Module):
    """Applies a cell over several axes: each position takes over from those one step back along every axis.

    A state of the cell holds one block for each axis: block d is what the predecessor along the axis d handed on, and
    in the new state what the next position along d will get. Outside the image the blocks are the initial states.

    Args:
        cell: the equations, made by `carousel.cell`; an option `axes` of theirs is set.
        input_size: D, the number of input features.
        hidden_size: H, the number of hidden units.
        axes: n, the number of axes.
        directions: "all" scans from each of the 2^n corners, with parameters of its own; "one" from the first corner.
        merge: of the directions' outputs, "concat" or "sum".
        learn_initial: makes the states outside the image parameters, `initial_h` and so on.
        engine: "auto", "eager" or "native".
        init: how parameters start, by name or pattern, before what the cell says.
        sizes: the cell's further sizes.

    Parameters carry the equations' names, and of a direction that runs backwards along the first axis, the ending
    `_reverse1`: `U_i`, `U_i_reverse1`, `U_i_reverse2`, `U_i_reverse12`.

    Raises:
        TypeError, ValueError: for an argument that does not fit the cell.

    >>> import torch
    >>> import carousel as ca
    >>> layer = MultiDimensional(ca.cells.mdlstm, input_size=3, hidden_size=4)
    >>> layer(torch.randn(2, 3, 16, 12)).shape
    torch.Size([2, 16, 16, 12])
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        axes: int = 2,
        directions: str = "all",
        merge: str = "concat",
        *,
        learn_initial: bool = False,
        engine: str = "auto",
        init: Mapping[str, Any] | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **sizes: int,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            given = type(cell).__name__
            raise TypeError(f"MultiDimensional: cell is a {given}, expected a cell of rows, made by @carousel.cell.")
        if not isinstance(axes, int) or isinstance(axes, bool) or axes < 1:
            raise ValueError(f"{cell.name}: axes is {axes!r}, expected a positive whole number.")
        _check_choice(cell, "directions", directions, ("all", "one"))
        _check_choice(cell, "merge", merge, ("concat", "sum"))
        self.cell = cell.with_(axes=axes) if cell.options.get("axes", axes) != axes else cell
        self.input_size = check_count(cell, "input_size", input_size)
        self.hidden_size, self.axes = check_count(cell, "hidden_size", hidden_size), axes
        self.sizes = {"input_size": input_size, "hidden_size": hidden_size, **sizes}
        self.directions, self.merge, self.learn_initial = directions, merge, learn_initial
        self.engine, self.init = engines.check_name(engine), dict(init or {})
        check_patterns(self.cell, "init", self.init)
        self._check_cell()
        self._make_parameters({"device": device, "dtype": dtype})
        self.reset_parameters()

    def _check_cell(self) -> None:
        cell, n = self.cell, self.axes
        if cell.sides or cell.time is not None:
            what = ", ".join(cell.sides) or "the step index"
            raise ValueError(f"MultiDimensional: {cell.name} reads {what}, which is given over time, not over axes.")
        for state, width in zip(cell.states, cell.state_widths(**self.sizes), strict=True):
            if width % n:
                raise ValueError(
                    f"MultiDimensional: {cell.name}'s state {state} is {width} wide, expected one block for each of "
                    f"{n} axes."
                )

    def _turns(self) -> list[tuple[bool, ...]]:
        """For each direction which axes it runs along backwards."""
        return list(product((False, True), repeat=self.axes)) if self.directions == "all" else [(False,) * self.axes]

    def _make_parameters(self, factory: dict[str, Any]) -> None:
        cell = self.cell
        shapes, widths = cell.shapes(**self.sizes), cell.state_widths(**self.sizes)
        for turned in self._turns():
            for name, shape in shapes.items():
                fixed, full = cell.fixed_value(name), name + ending(turned)
                if fixed is None:
                    self.register_parameter(full, nn.Parameter(torch.empty(shape, **factory)))
                else:
                    self.register_buffer(full, torch.full(shape, float(fixed), **factory))
            for state, width in zip(cell.states, widths, strict=True) if self.learn_initial else ():
                begin = nn.Parameter(torch.empty(width, **factory))
                self.register_parameter(f"initial_{state}{ending(turned)}", begin)

    def reset_parameters(self) -> None:
        """Draws all parameters anew: as `init` says, the layer's before the cell's, otherwise uniformly within
        1/sqrt(hidden_size)."""
        cell, init = self.cell, override(self.cell.init, self.init)
        for end in map(ending, self._turns()):
            for name in cell.parameters:
                fixed = cell.fixed_value(name)
                how = lookup(init, name) if fixed is None else fixed
                start(getattr(self, name + end), how, self.hidden_size, blocks=cell.heads(name) > 1)
            for state in cell.states if self.learn_initial else ():
                start(getattr(self, f"initial_{state}{end}"), cell.initial[state], self.hidden_size)

    def forward(self, x: Tensor, *, sizes: Tensor | Sequence[Sequence[int]] | None = None, record: Sequence[str] = ()):
        """Runs the layer over images.

        Args:
            x: (B, D, *space), or (D, *space).
            sizes: (B, n) whole numbers, the size of each sample along each axis. Outside it x is never read and y is
                zero; directions that run backwards start at its own end.
            record: names of quantities to return at every position.

        Returns:
            y (B, R * H, *space), or with merge="sum" (B, H, *space). With record, also a dictionary from name to
            (R, B, w, *space).

        Raises:
            TypeError, ValueError: for input that does not fit, or if the engine cannot serve.
        """
        name = type(self).__name__
        check_record(name, self.cell, record)
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: x is a {type(x).__name__}, expected a tensor.")
        batched = x.dim() != self.axes + 1
        images = self._images(x if batched else x.unsqueeze(0))
        B, space = images.shape[0], tuple(images.shape[2:])
        own = self._read_sizes(sizes, B, space)
        rows = images.movedim(1, -1).flatten(0, -2)  # (B * S, D)
        engine = engines.choose(self.engine, self.cell, rows.unsqueeze(0), record=record)

        def to_images(value: Tensor) -> Tensor:
            image = value.unflatten(0, (B, *space)).movedim(-1, 1)
            return image if batched else image.squeeze(0)

        ys, seen = [], []
        for turned in self._turns():
            fronts = wavefront.fronts(space, own, turned, rows.device)
            initial = self._initial(ending(turned), rows)
            params = Parameters.of({n: getattr(self, n + ending(turned)) for n in self.cell.parameters})
            with without_autocast(x):
                y, found = wavefront.scan(
                    engine, self.cell, self.sizes, rows, params, fronts=fronts, initial=initial, record=record
                )
            ys.append(y)
            seen.append(found)
        y = to_images(torch.cat(ys, -1) if self.merge == "concat" else torch.stack(ys).sum(0))
        return (y, {n: torch.stack([to_images(found[n]) for found in seen]) for n in record}) if record else y

    def _images(self, x: Tensor) -> Tensor:
        """x (B, D, *space) in the parameters' dtype; ValueError for another shape, dtype or device."""
        name, weight = type(self).__name__, next(self.parameters(), x)
        if x.dim() != self.axes + 2 or x.shape[1] != self.input_size:
            raise ValueError(
                f"{name}: x has shape {tuple(x.shape)}, expected (B, D, *space) with D = {self.input_size} (this "
                f"layer's input_size) and {self.axes} axes."
            )
        check_kind(name, x, weight)
        return x.to(weight.dtype)  # autocast made it what it is

    def _read_sizes(self, sizes: Any, B: int, space: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        if sizes is None:
            return (space,) * B
        name, values = type(self).__name__, torch.as_tensor(sizes)
        if values.is_floating_point() or tuple(values.shape) != (B, self.axes):
            raise ValueError(
                f"{name}: sizes is {values.dtype} of shape {tuple(values.shape)}, expected whole numbers ({B}, "
                f"{self.axes}): for each sample its size along each axis."
            )
        own = tuple(map(tuple, values.tolist()))
        if any(not 0 <= extent <= whole for sample in own for extent, whole in zip(sample, space, strict=True)):
            raise ValueError(f"{name}: sizes has {values.tolist()}, expected numbers from 0 to {space}.")
        return own

    def _initial(self, end: str, x: Tensor) -> list[Tensor] | None:
        cell = self.cell
        if self.learn_initial:
            return [getattr(self, f"initial_{state}{end}") for state in cell.states]
        if not any(cell.initial.values()):
            return None  # zeros
        widths = zip(cell.states, cell.state_widths(**self.sizes), strict=True)
        return [x.new_full((width,), cell.initial[state]) for state, width in widths]

    def extra_repr(self) -> str:
        parts = [self.cell.name, str(self.input_size), str(self.hidden_size)]
        parts += [f"{n}={v}" for n, v in self.sizes.items() if n not in ("input_size", "hidden_size")]
        defaults = {"axes": 2, "directions": "all", "merge": "concat", "learn_initial": False, "engine": "auto"}
        parts += [f"{n}={getattr(self, n)!r}" for n, default in defaults.items() if getattr(self, n) != default]
        return ", ".join(parts)


class MDLSTM(MultiDimensional):
    """The multidimensional LSTM of Graves, Fernandez & Schmidhuber (2007, arXiv:0705.2011): `MultiDimensional` of
    `carousel.cells.mdlstm`, with the same further arguments.

    >>> import torch
    >>> layer = MDLSTM(input_size=3, hidden_size=4, axes=3, directions="one")
    >>> layer(torch.randn(2, 3, 5, 6, 7)).shape
    torch.Size([2, 4, 5, 6, 7])
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **options: Any) -> None:
        super().__init__(cells.mdlstm, input_size, hidden_size, *args, **options)


def ending(turned: Sequence[bool]) -> str:
    """What a direction's parameters are called beside their name.

    >>> ending((True, False)), ending((False, False))
    ('_reverse1', '')
    """
    axes = "".join(str(d + 1) for d, back in enumerate(turned) if back)
    return f"_reverse{axes}" if axes else ""


def _check_choice(cell: Cell, argument: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(f"{cell.name}: {argument} is {given!r}, expected one of: {', '.join(known)}.")
