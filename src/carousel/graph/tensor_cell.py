"""`@tensor_cell`: a memory cell whose step is not on rows: states that are matrices, or a matrix made at each step.

Such a step is not traced. It runs on plain tensors as it is written, and PyTorch derives its gradients.
"""

from __future__ import annotations

import fnmatch
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from carousel.errors import CellError
from carousel.graph import loading
from carousel.graph.arguments import RESERVED_SIZES, read_arguments
from carousel.graph.cell import Cell, find
from carousel.graph.notation.show import written
from carousel.graph.patterns import lookup
from carousel.graph.sizes import Extent, check_sizes, hint, names_in, parsed, value_of
from carousel.graph.values import Parameters

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class TensorDeclarations:
    """What `@tensor_cell(...)` declares beside the function."""

    states: Mapping[str, Shape]
    shapes: Mapping[str, Shape]
    output: int | str = "hidden_size"
    initial: Mapping[str, float] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)


class TensorCell:
    """A memory cell as a function of one step on tensors, for what is not a step on rows. Made by `@tensor_cell`.

    Layers, commands and model folders take it as they take a `Cell`.

    Attributes:
        name, doc: of the function `fn`.
        input, states, sides, time: the names of the function's arguments, in order; sides with their declaration.
        options: what `with_` can change.
        sizes: the symbolic sizes in its shapes, `input_size` and `hidden_size` first.
        recordable: the names that `record=` takes: the states.
        initial: what each state starts from.
        init, fixed: how parameters start, and which are not learned, by pattern.
        sequence: the faster form over a whole sequence, given by `@cell.whole`, or None.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        declared: TensorDeclarations,
        options: Mapping[str, Any] | None = None,
        sequence: Callable[..., Any] | None = None,
    ) -> None:
        if not inspect.isfunction(fn):
            raise TypeError(f"tensor_cell: a {type(fn).__name__} was given, expected a function of (x, states, p).")
        found = read_arguments(fn.__name__, fn)
        self.fn, self.declared, self.sequence = fn, declared, sequence
        self.name, self.doc = fn.__name__, inspect.getdoc(fn) or ""
        self.input, self.states, self.sides, self.time = found.input, found.states, found.sides, found.time
        self._defaults = found.options
        self.options: dict[str, Any] = {**found.options, **(options or {})}
        self.recordable = self.states
        self.initial = {**dict.fromkeys(self.states, 0.0), **declared.initial}
        self.init, self.fixed = dict(declared.init), dict(declared.fixed)
        self._extents = self._parsed()
        self.sizes = self._sizes()
        self._check()

    def _parsed(self) -> dict[int | str, Extent]:
        """Every extent in the declarations, as it is written and as it was read."""
        declared = self.declared
        parts = [part for shape in (*declared.shapes.values(), *declared.states.values()) for part in shape]
        parts += [declared.output, *(str(side.width) for side in self.sides.values())]
        try:
            return {part: parsed(part) for part in parts}
        except ValueError as error:
            raise CellError(f"{self.name}: {error}") from None

    def _sizes(self) -> tuple[str, ...]:
        parts = self._extents.values()
        found = dict.fromkeys(name for part in parts for name in names_in(part) if name not in self.options)
        first = [name for name in ("input_size", "hidden_size") if name == "input_size" or name in found]
        return (*first, *(name for name in found if name not in first))

    def _check(self) -> None:
        if tuple(self.declared.states) != self.states:
            raise CellError(
                f"{self.name}: states= declares ({', '.join(self.declared.states)}), the function's arguments are "
                f"({', '.join(self.states)}): expected the same, in the same order."
            )
        for name in self.declared.initial:
            if name not in self.states:
                raise CellError(f"{self.name}: initial= names {name!r}, which is no state.{hint(name, self.states)}")
        for kind, given in (("init", self.init), ("fixed", self.fixed)):
            for pattern in given:
                if not fnmatch.filter(self.declared.shapes, pattern):
                    known = hint(pattern, self.declared.shapes)
                    raise CellError(f"{self.name}: {kind}= has {pattern!r}, which matches no parameter.{known}")
        reserved = [size for size in self.sizes if size in RESERVED_SIZES]
        if reserved:
            raise CellError(f"{self.name}: a size cannot be called {reserved[0]!r}: the layer uses that name itself.")

    # -- using it

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """One step on plain tensors: `cell(x, *states, p, **sides)` with p = `plain({...})`."""
        expected = (self.input, *self.states, "p")
        if len(args) != len(expected):
            raise TypeError(f"{self.name}: {len(args)} arguments were given, expected ({', '.join(expected)}).")
        if isinstance(args[-1], Parameters):
            raise CellError(f"{self.name} works on tensors, not on rows, so it cannot be called inside another cell.")
        return self.fn(*args, **{**self.options, **keywords})

    def advance(self, *args: Any, **keywords: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As calling it, but returns y (B, w) and the tuple of the new states."""
        returned = self(*args, **keywords)
        values = returned if isinstance(returned, tuple) else (returned,)
        if len(values) - len(self.states) not in (0, 1):
            raise CellError(
                f"{self.name}: {len(values)} values were returned, expected the {len(self.states)} new states "
                f"({', '.join(self.states)}), or an output and then these."
            )
        return values[0], values[len(values) - len(self.states) :]

    def whole(self, form: Callable[..., Any]) -> Callable[..., Any]:
        """Attaches the same equations over a whole sequence, which layers then prefer to the loop over steps.

        `form(x, *states, p, *, cut, active, initial, **sides, **options)` gets x (T, B, D) in the order in which steps
        are taken, the states (B, ...) before the first one, cut and active (T, B) bool or None, and initial, a tuple of
        (B, ...). Before a step with `cut` a row's states become `initial`; a step that is not `active` changes no
        state, and what is returned for it is not read. It returns y (T, B, w) and the tuple of the last states.
        """
        self.sequence = form
        return form

    def with_(self, **options: Any) -> TensorCell:
        """The cell with other options. Raises TypeError for an option that it does not have.

        >>> from carousel.cells import mlstm
        >>> mlstm.with_(heads=2).state_shapes(input_size=3, hidden_size=8)
        ((2, 4, 4), (2, 4), (2,))
        """
        for name in options:
            if name not in self.options:
                raise TypeError(f"{self.name}: there is no option {name!r}.{hint(name, self.options)}")
        return TensorCell(self.fn, self.declared, {**self.options, **options}, self.sequence)

    # -- shapes

    def check_sizes(self, sizes: Mapping[str, Any]) -> None:
        """TypeError unless exactly the cell's sizes are given, ValueError for what is no size."""
        check_sizes(self.name, self.sizes, sizes)

    def shapes(self, **sizes: int) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter. Raises TypeError or ValueError for sizes that do not fit.

        >>> from carousel.cells import mlstm
        >>> mlstm.shapes(input_size=3, hidden_size=8)["W_i"]
        (4, 3)
        """
        return {name: self._resolved(shape, sizes) for name, shape in self.declared.shapes.items()}

    def state_shapes(self, **sizes: int) -> tuple[tuple[int, ...], ...]:
        """The shape of each state of one row."""
        return tuple(self._resolved(shape, sizes) for shape in self.declared.states.values())

    def output_width(self, **sizes: int) -> int:
        """The width of the output."""
        return self._resolved((self.declared.output,), sizes)[0]

    def side_width(self, name: str, **sizes: int) -> int:
        """The width of a side input."""
        return self._resolved((str(self.sides[name].width),), sizes)[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, learned or fixed."""
        return tuple(self.declared.shapes)

    def heads(self, name: str) -> int:
        """How many blocks a parameter's matrix has on its diagonal: none is such a matrix."""
        return 1

    def fixed_value(self, name: str) -> float | None:
        """The value of a parameter that is not learned, else None."""
        return lookup(self.fixed, name)

    def _resolved(self, shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
        self.check_sizes(sizes)
        try:
            return tuple(value_of(self._extents[part], {**sizes, **self.options}) for part in shape)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    # -- as an object

    @property
    def equations(self) -> str:
        """The function's body as it is written; empty where its source is not at hand."""
        return written(self.fn) or ""

    def changed_options(self) -> dict[str, Any]:
        """The options that `with_` set."""
        return {name: value for name, value in self.options.items() if value is not self._defaults[name]}

    def __repr__(self) -> str:
        changed = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"<tensor cell {self.name}({', '.join((self.input, *self.states))}{changed})>"

    def __str__(self) -> str:
        rows = [("states", name, shape) for name, shape in self.declared.states.items()]
        rows += [("parameters", name, shape) for name, shape in self.declared.shapes.items()]
        kinds = [kind for kind, _, _ in rows]
        table = (
            f"{'' if kind in kinds[:k] else kind:13}{name} ({', '.join(map(str, shape))})"
            for k, (kind, name, shape) in enumerate(rows)
        )
        title = f"{self.name}: {self.doc.splitlines()[0]}" if self.doc else self.name
        return "\n\n".join([title, textwrap.indent(self.equations, "    "), "\n".join(table)])

    def __deepcopy__(self, memo: Any) -> TensorCell:
        return self

    def __copy__(self) -> TensorCell:
        return self

    def __reduce__(self) -> Any:
        """By the way to its function: the function itself is no data."""
        if "<locals>" in self.fn.__qualname__:
            raise CellError(f"{self.name} cannot be pickled: define it at the top of a module, where it can be found.")
        reference = (self.fn.__module__, self.fn.__qualname__, loading.path_of(self.fn))
        return _restore, (reference, self.changed_options())


AnyCell = Cell | TensorCell


def _restore(reference: tuple[str, str, str | None], changed: dict[str, Any]) -> TensorCell:
    found = find(*reference)
    return found.with_(**changed) if changed else found


def tensor_cell(
    *,
    states: Mapping[str, Shape],
    shapes: Mapping[str, Shape],
    output: int | str = "hidden_size",
    initial: Mapping[str, float] | None = None,
    init: Mapping[str, Any] | None = None,
    fixed: Mapping[str, float] | None = None,
) -> Callable[[Callable[..., Any]], TensorCell]:
    """Make a function of one step on tensors a cell, where `@cell` will not do: a state is a matrix, or a product is.

    The function takes x (B, D), the states (B, ...), then `p`, whose matrices multiply rows as in `p.W @ x`; it returns
    the new states, or an output (B, w) that does not recur and then the states. Keyword-only arguments are side inputs
    and options, as in `@cell`. Raises CellError for declarations that do not fit the function.

    Args:
        states: for each state its shape in one row, of numbers, sizes, options, and their sums, products and quotients.
        shapes: likewise for each parameter.
        output: the width of the output.
        initial, init, fixed: as in `@cell`.

    >>> import torch
    >>> @tensor_cell(states={"A": ("hidden_size", "hidden_size")}, shapes={"W": ("hidden_size", "input_size")})
    ... def hebb(x, A, p, *, decay=0.9):
    ...     v = torch.tanh(p.W @ x)
    ...     A = decay * A + v[:, :, None] * v[:, None, :]
    ...     return (A @ v[:, :, None]).squeeze(-1), A
    >>> hebb.state_shapes(input_size=3, hidden_size=5)
    ((5, 5),)
    """
    declared = TensorDeclarations(states, shapes, output, initial or {}, init or {}, fixed or {})
    return lambda fn: TensorCell(fn, declared)
