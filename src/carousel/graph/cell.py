"""`@cell`: a memory cell from its equations."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import itertools
import json
import numbers
import pickle
import weakref
from collections.abc import Callable, Mapping
from typing import Any, overload

from carousel.errors import CellError
from carousel.graph import loading, storing
from carousel.graph.arguments import read_arguments
from carousel.graph.define import Declarations, define, sizes_of
from carousel.graph.notation.latex import Formulas, latex
from carousel.graph.notation.show import equations, show
from carousel.graph.patterns import lookup, override
from carousel.graph.sizes import check_sizes, hint
from carousel.graph.step import Step
from carousel.graph.tracing import Trace
from carousel.graph.values import Parameters, Traced, Value
from carousel.graph.widths import Width

_numbers = itertools.count()
NUMBERED: weakref.WeakValueDictionary[int, Cell] = weakref.WeakValueDictionary()


class Cell:
    """A memory cell: its equations, and what they say about states, parameters and widths. Made by `@cell`.

    Attributes:
        name, doc: of the function `fn`.
        input, states, sides, time: the names of the function's arguments, in order; sides with their declaration.
        options: what `with_` can change.
        step: the traced step, from which everything else is derived.
        sizes: the symbolic sizes, `input_size` and `hidden_size` first.
        initial: what each state starts from.
        init, fixed: how parameters start, and which are not learned, by pattern.
    """

    def __init__(self, fn: Callable[..., Any], declared: Declarations, options: Mapping[str, Any] | None = None):
        if not inspect.isfunction(fn):
            raise TypeError(f"cell: a {type(fn).__name__} was given, expected a function of (x, states, p).")
        arguments = read_arguments(fn.__name__, fn)
        self.number = next(_numbers)  # a plain name for this object, under which torch.compile may ask for it
        NUMBERED[self.number] = self
        self._source: Callable[..., Any] | None = fn
        self._equations = ""
        self.declared, self.derived = declared, options is not None
        self.name, self.doc = fn.__name__, inspect.getdoc(fn) or ""
        self.input, self.states, self.sides, self.time = (
            arguments.input,
            arguments.states,
            arguments.sides,
            arguments.time,
        )
        self.options: dict[str, Any] = {**arguments.options, **(options or {})}
        self._check_declarations()
        definition = define(self)
        self.step: Step = definition.step
        self.repeats = definition.repeats
        self.initial: dict[str, float] = {
            **dict.fromkeys(self.states, 0.0),
            **definition.inherited["initial"],
            **{state: float(value) for state, value in declared.initial.items()},
        }
        self.init: dict[str, Any] = override(definition.inherited["init"], declared.init)
        self.fixed: dict[str, Any] = override(definition.inherited["fixed"], declared.fixed)
        self._check_patterns()
        found = sizes_of(self.step)
        first = ["input_size"] + (["hidden_size"] if "hidden_size" in found else [])
        self.sizes: tuple[str, ...] = (*first, *(size for size in found if size not in first))

    @classmethod
    def stored(cls, equations: str, **attributes: Any) -> Cell:
        """A cell from what `storing.to_data` keeps of it, without its function."""
        cell = object.__new__(cls)
        cell.number = next(_numbers)
        NUMBERED[cell.number] = cell
        cell._source, cell._equations = None, equations
        cell.declared, cell.derived = Declarations(), True
        for name, value in attributes.items():
            setattr(cell, name, value)
        return cell

    @property
    def fn(self) -> Callable[..., Any]:
        """The function with the equations. Raises CellError for a cell that was loaded without its source."""
        if self._source is None:
            raise CellError(
                f"{self.name}: this cell was loaded without its source. It runs in layers; for other options, calls on "
                f"plain tensors or use inside another cell, import the function that defines it."
            )
        return self._source

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, learned or fixed, in order of first use."""
        return tuple(self.step.parameters)

    def heads(self, name: str) -> int:
        """How many blocks a parameter's matrix has on its diagonal; 1 if it is no such matrix."""
        return self.step.parameters[name].heads

    @property
    def recordable(self) -> tuple[str, ...]:
        """The names that `record=` takes: all that the equations name."""
        return tuple(self.step.names)

    @property
    def reads_input(self) -> bool:
        """Whether the equations read the input at all: layers in depth do not."""
        return any(0 in node.args for node in self.step.nodes)  # the first node of a step is its input

    @property
    def equations(self) -> str:
        """The equations as they are written (in LaTeX where their source is not at hand)."""
        return self._equations if self._source is None else equations(self)

    # -- using it

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """One step: `cell(x, *states, p, **sides)`.

        On plain tensors, with p = `plain({...})`, it computes; called inside another cell's equations it is inlined,
        and its quantities are called `name.f` there.
        """
        self._check_call(args, keywords)
        p = args[-1]
        if not isinstance(p, Parameters):
            return self.fn(*args, **{**self.options, **keywords})
        trace: Trace = object.__getattribute__(p, "_trace")
        trace.declared |= {k: v for k, v in self.declared.shapes.items() if k not in trace.declared}
        with trace.inside(self.name, self.fn.__code__) as prefix:
            returned = self.fn(*args, **{**self.options, **keywords})
        self._hand_on(trace, prefix, args)
        return returned

    def with_(self, **options: Any) -> Cell:
        """The cell with other options.

        Raises TypeError for an option that it does not have, or that is no function where one is expected.

        >>> from carousel.graph import cell, relu, tanh
        >>> @cell
        ... def elman(x, h, p, *, f=tanh):
        ...     return f(p.W @ x + p.U @ h + p.b)
        >>> elman.with_(f=relu).step.nodes[-1].op
        'relu'
        """
        for name in options:
            if name not in self.options:
                raise TypeError(f"{self.name}: there is no option {name!r}.{hint(name, self.options)}")
            if callable(self.options[name]) and not callable(options[name]):
                raise TypeError(
                    f"{self.name}: the option {name} is {options[name]!r}, expected a function such as carousel.tanh."
                )
        return type(self)(self.fn, self.declared, {**self.options, **options})

    def shapes(self, **sizes: int) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, learned or fixed, in order of first use.

        Raises TypeError for a missing or unknown size, ValueError for one that does not fit the equations.

        >>> from carousel.cells import elman
        >>> elman.shapes(input_size=3, hidden_size=5)
        {'W': (5, 3), 'U': (5, 5), 'b': (5,)}
        """
        self.check_sizes(sizes)
        return {name: parameter.shape(sizes) for name, parameter in self.step.parameters.items()}

    def state_widths(self, **sizes: int) -> tuple[int, ...]:
        """The width of each state."""
        self.check_sizes(sizes)
        return tuple(self.step.nodes[k].width.resolve(sizes) for k in self.step.outputs)

    def state_shapes(self, **sizes: int) -> tuple[tuple[int, ...], ...]:
        """The shape of each state of one row."""
        return tuple((width,) for width in self.state_widths(**sizes))

    def output_width(self, **sizes: int) -> int:
        """The width of the output."""
        self.check_sizes(sizes)
        return int(self.step.nodes[self.step.output].width.resolve(sizes))

    def side_width(self, name: str, **sizes: int) -> int:
        """The width of a side input."""
        self.check_sizes(sizes)
        return Width.of(self.sides[name].width).resolve(sizes)

    def fixed_value(self, name: str) -> float | None:
        """The value of a parameter that is not learned, else None."""
        return lookup(self.fixed, name)

    def latex(self) -> str:
        """The equations in LaTeX, in an `align` environment."""
        return latex(self)

    def check_sizes(self, sizes: Mapping[str, Any]) -> None:
        """TypeError unless exactly the cell's sizes are given, ValueError where they do not fit its equations."""
        check_sizes(self.name, self.sizes, sizes)
        self._check_fit(sizes)

    def _check_fit(self, sizes: Mapping[str, int]) -> None:
        width = self.step.nodes[0].width
        if width.resolve(sizes) != sizes["input_size"]:
            raise ValueError(
                f"{self.name}: input_size is {sizes['input_size']}, but the equations need {self.input} to be "
                f"{width} = {width.resolve(sizes)} wide."
            )
        for parameter in self.step.parameters.values():
            for size in parameter.widths:
                if size.resolve(sizes) % parameter.heads:
                    raise ValueError(
                        f"{self.name}: {size} = {size.resolve(sizes)} is not divisible into the "
                        f"{parameter.heads} blocks of {parameter.name}. Give a multiple of {parameter.heads}, or the "
                        f"cell another number of blocks."
                    )
        for few, many in self.repeats:
            if many.resolve(sizes) % few.resolve(sizes):
                raise ValueError(
                    f"{self.name}: {many} = {many.resolve(sizes)} is not a multiple of {few} = {few.resolve(sizes)}, "
                    f"which is expanded to it."
                )
        for node in self.step.nodes:
            if node.op == "slice":
                start, stop = (node.attr[edge].resolve(sizes) for edge in ("start", "stop"))
                whole = self.step.nodes[node.args[0]].width.resolve(sizes)
                if not 0 <= start < stop <= whole:
                    raise ValueError(f"{self.name}: columns {start} to {stop} are sliced from a row of {whole}.")

    # -- how it is called inside another cell

    def _check_call(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        expected = (self.input, *self.states, "p")
        if len(args) != len(expected):
            raise TypeError(f"{self.name}: {len(args)} arguments were given, expected ({', '.join(expected)}).")
        needed = [*self.sides, *([self.time] if self.time else [])]
        for name in keywords:
            if name not in needed and name not in self.options:
                raise TypeError(f"{self.name}: there is no argument {name!r}.{hint(name, [*needed, *self.options])}")
        missing = [name for name in needed if name not in keywords]
        if missing:
            raise TypeError(f"{self.name}: {missing[0]} is missing; pass {missing[0]}=... (it is given at every call).")
        traced = next((arg for arg in args[:-1] if isinstance(arg, Traced)), None)
        if traced is not None and not isinstance(args[-1], Parameters):
            traced.fail(f"{self.name} is called without p", fix=f"{self.name}({', '.join(expected)})")

    def _hand_on(self, trace: Trace, prefix: str, args: tuple[Any, ...]) -> None:
        """What this cell declares holds where it is inlined too: widths, starts, fixed parameters."""
        for name, width in self.declared.widths.items():
            value = trace.names.get(prefix + name)
            if isinstance(value, Value) and name not in (self.input, *self.states):
                trace.inner_widths.append((value, Width.of(width)))
        for kind, given in (("init", self.init), ("fixed", self.fixed)):
            for name in self.step.parameters:
                start = lookup(given, name)
                if start is not None:
                    trace.inherited[kind][name] = start
        for name, value in zip(self.states, args[1:-1], strict=True):
            if isinstance(value, Value) and trace.drafts[value.index].op == "state" and self.initial[name]:
                outer = trace.drafts[value.index].names[0]
                trace.inherited["initial"][outer] = self.initial[name]

    # -- checks of what @cell(...) declares

    def _check_declarations(self) -> None:
        for name, width in self.declared.widths.items():
            try:
                Width.of(width)
            except ValueError as error:
                raise CellError(f"{self.name}: widths[{name!r}]: {error}") from None
        for name, value in self.declared.initial.items():
            if name not in self.states:
                raise CellError(f"{self.name}: initial= names {name!r}, which is no state.{hint(name, self.states)}")
            if not isinstance(value, numbers.Real):
                raise CellError(f"{self.name}: initial[{name!r}] is {value!r}, expected a number.")
        for name, shape in self.declared.shapes.items():
            if not isinstance(shape, tuple) or len(shape) > 2:
                raise CellError(
                    f"{self.name}: shapes[{name!r}] is {shape!r}, expected () for a scalar, or a tuple of one or two "
                    f"widths such as ('hidden_size',)."
                )

    def _check_patterns(self) -> None:
        """A pattern of init= or fixed= that matches no parameter is a slip, unless an option took the parameter out."""
        if self.derived:
            return
        for kind, given in (("init", self.declared.init), ("fixed", self.declared.fixed)):
            for pattern in given:
                if not fnmatch.filter(self.step.parameters, pattern):
                    known = self.step.parameters
                    raise CellError(
                        f"{self.name}: {kind}= has {pattern!r}, which matches no parameter.{hint(pattern, known)}"
                    )

    # -- as an object

    def __repr__(self) -> str:
        changed = "".join(f", {name}={_short(value)}" for name, value in self.options.items())
        return f"<cell {self.name}({', '.join((self.input, *self.states))}{changed})>"

    def __str__(self) -> str:
        return show(self)

    def _repr_html_(self) -> str:
        """In a notebook: the equations typeset, and their data flow."""
        from carousel.graph.notation.drawing import draw  # it stands above this module
        from carousel.graph.notation.typeset import mathml_of_equations

        return mathml_of_equations(Formulas(self).equations()) + draw(self)

    def __deepcopy__(self, memo: Any) -> Cell:
        return self

    def __copy__(self) -> Cell:
        return self

    def __reduce__(self) -> Any:
        """As plain data, with the way to its function; where that is not found again, the data alone serve."""
        reference = changed = None
        if self._source is not None and "<locals>" not in self._source.__qualname__:
            reference = (self._source.__module__, self._source.__qualname__, loading.path_of(self._source))
            changed = self._changed_options()
        return _restore, (json.dumps(storing.to_data(self)), reference, changed)

    def _changed_options(self) -> dict[str, Any] | None:
        """The options that `with_` set; None if they cannot be pickled."""
        defaults = read_arguments(self.name, self.fn).options
        changed = {name: value for name, value in self.options.items() if value is not defaults[name]}
        try:
            pickle.dumps(changed)
        except (pickle.PicklingError, AttributeError, TypeError):
            return None
        return changed


def find(module: str, qualname: str, path: str | None) -> Any:
    """The object of that name in a module, or in a file where the module came from one."""
    found: Any = loading.module_from(path) if path is not None else importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _restore(stored: str, reference: tuple[str, str, str | None] | None, changed: dict[str, Any] | None) -> Cell:
    """The cell of that name if it is found and still the same, else the one that was stored."""
    data = json.loads(stored)
    if reference is not None and changed is not None:
        try:
            found = find(*reference)
            cell = found.with_(**changed) if changed else found
            if isinstance(cell, Cell) and storing.to_data(cell) == data:
                return cell
        except (ImportError, AttributeError, ValueError, TypeError, OSError):
            pass  # its source is not here, or no longer the same
    return storing.from_data(data)


def _short(value: Any) -> str:
    return str(getattr(value, "__name__", repr(value)))


@overload
def cell(fn: Callable[..., Any], /) -> Cell: ...
@overload
def cell(
    *,
    widths: Mapping[str, int | str] = ...,
    shapes: Mapping[str, tuple[int | str, ...]] = ...,
    initial: Mapping[str, float] = ...,
    init: Mapping[str, Any] = ...,
    fixed: Mapping[str, float] = ...,
) -> Callable[[Callable[..., Any]], Cell]: ...
def cell(fn: Callable[..., Any] | None = None, /, **declared: Any) -> Any:
    """Make a function of the equations a `Cell`. Raises CellError where they make no sense, with the line.

    The function takes the input, the states, then `p`; it returns the new states in the same order, or an output that
    does not recur and then the states. Keyword-only arguments are side inputs (without default, or declared with
    `static`, `per_step`, `mask`, `step_index`) and options (any other default).

    Args:
        widths: sizes of quantities that the equations leave open: {"c": "hidden_size", "h": "proj_size"}.
        shapes: of parameters where use cannot show it: {"zeta": ()} is a scalar that is learned.
        initial: what states start from, if not 0: {"m": float("-inf")}.
        init: how parameters start, by name or pattern: a number, a list, or a function like those of torch.nn.init.
        fixed: parameters that are not learned, and their value: {"b_*": 0}.

    >>> from carousel.graph import cell, sigmoid
    >>> @cell
    ... def leaky(x, h, p):
    ...     a = sigmoid(p.a)
    ...     return a * h + (1 - a) * (p.W @ x)
    >>> leaky.shapes(input_size=2, hidden_size=4)
    {'a': (4,), 'W': (4, 2)}
    """
    if fn is not None:
        return Cell(fn, Declarations())
    return lambda function: Cell(function, Declarations(**declared))
