"""What the equations handle while they are traced: rows (`Value`), parameters and expressions of parameters alone
(`Expression`), and `p` itself (`Parameters`)."""

from __future__ import annotations

import ast
import numbers
import re
from typing import TYPE_CHECKING, Any, NoReturn

from carousel.graph.places import Place, bare_left
from carousel.graph.widths import ONE, Dimension, Width

if TYPE_CHECKING:
    from carousel.graph.tracing import Trace

_TORCH_NAMES = {
    **{name: name for name in ("add", "sub", "mul", "div", "neg", "sigmoid", "tanh", "exp", "log", "softplus", "relu")},
    **{name: name for name in ("abs", "sqrt", "sin", "cos", "floor", "maximum", "minimum", "where")},
    **{name: name for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    **{"subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg", "rsub": "rsub"},
}


class Traced:
    """What has the arithmetic of the equations: rows, parameters, and expressions of parameters."""

    trace: Trace

    def called(self, name: str) -> None:
        """The user's function has given it this name."""
        raise NotImplementedError

    def node(self) -> int | None:
        """The node that is its value as a row; None for a parameter that no row has met."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Traced:
        return elementwise("add", self, other)

    def __radd__(self, other: Any) -> Traced:
        return elementwise("add", other, self)

    def __sub__(self, other: Any) -> Traced:
        return elementwise("sub", self, other)

    def __rsub__(self, other: Any) -> Traced:
        return elementwise("sub", other, self)

    def __mul__(self, other: Any) -> Traced:
        return elementwise("mul", self, other)

    def __rmul__(self, other: Any) -> Traced:
        return elementwise("mul", other, self)

    def __truediv__(self, other: Any) -> Traced:
        return elementwise("div", self, other)

    def __rtruediv__(self, other: Any) -> Traced:
        return elementwise("div", other, self)

    def __neg__(self) -> Traced:
        return elementwise("neg", self)

    def __pos__(self) -> Traced:
        return self

    def __abs__(self) -> Traced:
        return elementwise("abs", self)

    def __lt__(self, other: Any) -> Traced:
        return elementwise("lt", self, other)

    def __le__(self, other: Any) -> Traced:
        return elementwise("le", self, other)

    def __gt__(self, other: Any) -> Traced:
        return elementwise("gt", self, other)

    def __ge__(self, other: Any) -> Traced:
        return elementwise("ge", self, other)

    def __eq__(self, other: Any) -> Traced:  # type: ignore[override]
        return elementwise("eq", self, other)

    def __ne__(self, other: Any) -> Traced:  # type: ignore[override]
        return elementwise("ne", self, other)

    __hash__ = object.__hash__

    def __pow__(self, power: Any) -> Traced:
        if power == 0.5 and isinstance(power, float):
            return elementwise("sqrt", self)
        if isinstance(power, (int, float)) and power in range(1, 9):
            product = self
            for _ in range(int(power) - 1):
                product = elementwise("mul", product, self)
            return product
        self.fail(
            "this power is not known to a cell",
            found=f"** {power!r}",
            expected="a whole number from 1 to 8, or 0.5",
            fix="write exp(power * log(x)) for a positive x, or 1 / x ** n for a negative power",
        )

    def fail(self, what: str, found: str = "", expected: str = "", fix: str = "") -> NoReturn:
        """Raise a CellError at the place that runs now."""
        self.trace.fail(self.trace.here(), what, found, expected, fix)

    def __bool__(self) -> bool:
        self.fail(
            "a traced value has no truth value, so a Python `if`, `and`, `or`, `not` or `while` cannot depend on it",
            fix="ca.where(condition, a, b) chooses element by element",
        )

    def __float__(self) -> float:
        self.fail(
            "a traced value is not a number, so float(), int(), math and numpy cannot work on it",
            fix="use the functions of carousel: ca.exp, ca.sqrt, ca.floor, ...",
        )

    def __int__(self) -> int:
        return int(self.__float__())

    def __index__(self) -> int:
        return int(self.__float__())

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.__float__()

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **_: Any) -> Any:
        op = _TORCH_NAMES.get(ufunc.__name__)
        if method == "__call__" and op in ("add", "sub", "mul", "div"):
            return elementwise(op, *args)
        return self.__float__()

    def __iter__(self) -> Any:
        self.fail("a traced row cannot be unpacked", fix="write one equation per part, or ca.split(row, h, h, ...)")

    def __len__(self) -> int:
        self.fail("a traced row has no length yet", fix="one set of equations serves every width; use ca.mean, ca.sum")

    def __getitem__(self, key: Any) -> Traced:
        self.fail(
            "a traced row cannot be indexed",
            found=f"[{key!r}]",
            fix="give each part its own parameter (parts of one product are grouped anyway), or use ca.slice",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.fail(
            "a traced value has no such attribute or method",
            found=f".{name}",
            fix="use operators and the functions of carousel: ca.sigmoid(v), ca.mean(v), ...",
        )

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function)).strip("_")
        op = _TORCH_NAMES.get(name)
        if op is not None and not kwargs:
            return elementwise("sub", args[1], args[0]) if op == "rsub" else elementwise(op, *args)
        first = next((a for a in _flat(args) if isinstance(a, Traced)), None)
        if first is None:
            return NotImplemented
        first.fail(
            f"torch.{name} is not known to a cell",
            expected=f"operators, or one of {', '.join(sorted(set(_TORCH_NAMES) - {'rsub'}))}",
            fix="write it with the functions of carousel; what the step cannot say belongs before or after the layer",
        )


def _flat(args: Any) -> list[Any]:
    return [a for arg in args for a in (_flat(arg) if isinstance(arg, (tuple, list)) else [arg])]


class Value(Traced):
    """A row vector of the step that is being traced."""

    def __init__(self, trace: Trace, index: int):
        self.trace, self.index = trace, index

    def node(self) -> int:
        return self.index

    @property
    def width(self) -> Dimension:
        """Its width."""
        width = self.trace.drafts[self.index].width
        assert isinstance(width, Dimension)
        return width

    def called(self, name: str) -> None:
        """Note a name on the node."""
        names = self.trace.drafts[self.index].names
        if name not in names:
            names.append(name)

    def __matmul__(self, other: Any) -> NoReturn:
        self.fail(
            "the left of @ must be a parameter",
            found=f"{describe(self)} @ {describe(other)}",
            expected="p.W @ x",
            fix="write p.W @ x, not x @ p.W; and r * (p.U @ h) with parentheses, as r * p.U @ h means (r * p.U) @ h",
        )

    def __rmatmul__(self, other: Any) -> NoReturn:
        self.fail(
            "the left of @ must be a parameter",
            found=f"{describe(other)} @ {describe(self)}",
            expected="p.W @ x",
            fix="let the matrix be a parameter; one that is not learned can be fixed: @cell(fixed={...})",
        )

    def __repr__(self) -> str:
        return f"<{describe(self)} of {self.trace.name}, being traced>"


class Expression(Traced):
    """A parameter, or an expression of parameters alone: a vector or a matrix, as its use will show.

    It becomes nodes only when it meets a row, since until then `p.W - p.W.T` could be either.
    """

    def __init__(self, trace: Trace, op: str, args: tuple[Any, ...], place: Place, **attr: Any):
        self.trace, self.op, self.args, self.place, self.attr = trace, op, args, place, attr
        self.names: list[str] = []
        self.index: int | None = None
        self.matrix_index: int | None = None
        self.kind: str | None = None
        self.first_use: Place | None = None
        self.dimensions: tuple[Dimension, ...] = ()
        self.heads = 1
        if op == "parameter" and self.name in trace.declared:
            self._declare(trace.declared[self.name])

    @property
    def name(self) -> str:
        """The parameter's name."""
        return str(self.attr.get("name", self.op))

    def _declare(self, shape: tuple[int | str, ...]) -> None:
        self.kind = ("scalar", "vector", "matrix")[len(shape)]
        self.dimensions = tuple(Dimension(Width.of(width)) for width in shape)

    def called(self, name: str) -> None:
        """Note a name; the nodes that it becomes bear it."""
        if name not in self.names:
            self.names.append(name)
        for index in (self.index, self.matrix_index):
            if index is not None and name not in self.trace.drafts[index].names:
                self.trace.drafts[index].names.append(name)

    def node(self) -> int | None:
        return self.index

    @property
    def T(self) -> Expression:
        """The transposed matrix."""
        return Expression(self.trace, "transpose", (self,), self.trace.here())

    def blocks(self, heads: int) -> Expression:
        """This parameter as a block-diagonal matrix of `heads` blocks; its shape is (heads, rows, columns) of each."""
        if self.op != "parameter":
            self.fail("only a parameter has blocks", fix="write p.R.blocks(heads), and use that in the expression")
        if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1:
            self.fail("the number of blocks must be a positive whole number", found=repr(heads))
        if self.heads not in (1, heads) or (self.kind is not None and self.heads != heads):
            self.fail(f"parameter {self.name} is used with {self.heads} and with {heads} blocks")
        self.heads = heads
        return self

    @property
    def scalar(self) -> bool:
        """Made of declared scalars and numbers only."""
        if self.op == "parameter":
            return self.kind == "scalar"
        return all(arg.scalar for arg in self.args if isinstance(arg, Expression))

    def _use(self, kind: str, place: Place) -> None:
        """A parameter shows by its first use whether it is a matrix or a vector, and must stay that."""
        if self.kind is None:
            self.kind = kind
            self.dimensions = tuple(Dimension() for _ in range(2 if kind == "matrix" else 1))
        elif self.kind != kind:
            earlier = f" (line {self.first_use.line})" if self.first_use else " (declared in shapes=)"
            self.trace.fail(
                place,
                f"parameter {self.name} is used as a {kind} here, but as a {self.kind} elsewhere{earlier}",
                expected="one parameter for one purpose",
                fix="did you mix up * and @? p.W @ x is a matrix product, p.V * c a product element by element",
            )
        self.first_use = self.first_use or place

    def vector(self, place: Place) -> Value:
        """As a row: (w,), or one wide for a declared scalar."""
        if self.index is None:
            self.index = self._vector_node(place)
            self.trace.drafts[self.index].names.extend(self.names)
        return Value(self.trace, self.index)

    def _vector_node(self, place: Place) -> int:
        if self.op != "parameter":
            if self.op == "transpose":
                self.trace.fail(place, "a transposed matrix is used as a vector", fix="p.W.T @ x is a matrix product")
            return row(self.trace, self.op, self.args, self.place, place, **self.attr)
        if self.kind == "scalar":
            self.first_use = self.first_use or place
            return self.trace.add("parameter", (), Dimension(ONE), place, name=self.name)
        self._use("vector", place)
        return self.trace.add("parameter", (), self.dimensions[0], place, name=self.name)

    def matrix(self, place: Place) -> int:
        """As a matrix: the index of a node whose width is (rows, columns)."""
        if self.matrix_index is None:
            self.matrix_index = self._matrix_node(place)
            self.trace.drafts[self.matrix_index].names.extend(self.names)
        return self.matrix_index

    def _matrix_node(self, place: Place) -> int:
        if self.op == "parameter":
            self._use("matrix", place)
            rows, columns = self.dimensions
            return self.trace.add("parameter", (), (rows, columns), place, name=self.name)
        indices, shapes = [], []
        for arg in self.args:
            if isinstance(arg, Expression) and not arg.scalar:
                indices.append(arg.matrix(place))
                shapes.append((self.trace.drafts[indices[-1]].width, arg.heads))
            else:
                indices.append(lift(self.trace, arg, self.place, place).index)
        (rows, columns), self.heads = shapes[0]  # type: ignore[misc]
        if self.op == "transpose":
            rows, columns = columns, rows
        for (other_rows, other_columns), heads in shapes[1:]:  # type: ignore[misc]
            self.trace.unify(rows, other_rows, self.place, f"rows in {self.op} of matrices")
            self.trace.unify(columns, other_columns, self.place, f"columns in {self.op} of matrices")
            if heads != self.heads:
                self.trace.fail(self.place, "matrices of different numbers of blocks meet")
        return self.trace.add(self.op, indices, (rows, columns), self.place, **self.attr)

    def __matmul__(self, other: Any) -> Value:
        trace, place = self.trace, self.trace.here()
        if not isinstance(other, Value):
            trace.fail(
                place,
                "the right of @ must be a row of the step",
                found=f"{describe(self)} @ {describe(other)}",
                expected="p.W @ x, where x is the input, a state, a side input or computed from them",
            )
        bare = bare_left(place, ast.Mult) or bare_left(place, ast.Div)
        if bare is not None and not isinstance(bare.left, ast.Constant):
            ask_for_parentheses(trace, place, "(p.V * p.U) @ h", "p.V * (p.U @ h)")
        if self.scalar:
            trace.fail(place, f"{describe(self)} is a scalar (declared in shapes=)", fix="multiply by it with *")
        matrix = self.matrix(place)
        rows, columns = trace.drafts[matrix].width  # type: ignore[misc]
        trace.unify(columns, other.width, place, f"{describe(self)} @ {describe(other)}")
        return Value(trace, trace.add("matmul", (matrix, other.index), rows, place, heads=self.heads))

    def __repr__(self) -> str:
        return f"<{describe(self)} of {self.trace.name}, being traced>"


class Parameters:
    """`p`: every attribute is a parameter. It has no attributes of its own."""

    def __init__(self, trace: Trace):
        object.__setattr__(self, "_trace", trace)

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        trace: Trace = object.__getattribute__(self, "_trace")
        if name not in trace.parameters:
            if name.startswith("_") or re.search(r"_l\d+$|_reverse$", name):
                trace.fail(
                    trace.here(),
                    f"a parameter cannot be called {name}",
                    expected="a name that neither begins with _ nor ends in _l0, _l1, ... or _reverse",
                    fix="the layer adds _l0 and _reverse itself (W_f becomes W_f_l0); rename it",
                )
            trace.parameters[name] = Expression(trace, "parameter", (), trace.here(), name=name)
        return trace.parameters[name]

    def __setattr__(self, name: str, value: Any) -> None:
        trace: Trace = object.__getattribute__(self, "_trace")
        trace.fail(trace.here(), "p cannot be assigned to", found=f"p.{name} = ...", fix="use a local variable")


def describe(value: Any) -> str:
    """How an error names a value: by the name the user gave it, else by how it was made."""
    if isinstance(value, Value):
        draft = value.trace.drafts[value.index]
        return draft.names[-1] if draft.names else f"({draft.op})"
    if isinstance(value, Expression):
        return f"p.{value.name}" if value.op == "parameter" else f"({value.op} of parameters)"
    return f"a {type(value).__name__}"


def ask_for_parentheses(trace: Trace, place: Place, means: str, other: str) -> NoReturn:
    """`@` and `*` bind equally: what was written may not be what was meant."""
    trace.fail(
        place,
        "`@`, `*` and `/` bind equally, from the left",
        found=place.segment or "",
        expected="parentheses that say what is meant",
        fix=f"write {means}, which is what this means now, or {other}",
    )


def lift(trace: Trace, given: Any, place: Place, use: Place | None = None) -> Value:
    """A row from what stands in an equation: a row, a parameter used as a vector, or a number."""
    if isinstance(given, Traced) and given.trace is not trace:
        trace.fail(place, f"{describe(given)} belongs to another cell's tracing", fix="pass it as an argument")
    if isinstance(given, Value):
        return given
    if isinstance(given, Expression):
        return given.vector(use or place)
    if isinstance(given, numbers.Real):
        return Value(trace, trace.add("number", (), Dimension(ONE), place, value=float(given)))
    trace.fail(
        place,
        f"a {type(given).__name__} cannot stand in an equation",
        expected="numbers, parameters of p, and rows of the step",
        fix="make it a parameter (fixed={...} if it is not learned) or a side input (ca.static, ca.per_step)",
    )


def row(trace: Trace, op: str, args: tuple[Any, ...], place: Place, use: Place, **attr: Any) -> int:
    """A node of an elementwise operation on rows; returns its index."""
    rows = [lift(trace, arg, place, use) for arg in args]
    width = None
    for value in rows:
        if value.width.one:
            continue
        if width is None:
            width = value.width
        else:
            trace.unify(width, value.width, place, f"{op} of {' and '.join(map(describe, rows))}")
    return trace.add(op, [value.index for value in rows], width or Dimension(ONE), place, **attr)


def elementwise(op: str, *args: Any, **attr: Any) -> Traced:
    """An elementwise operation of which at least one argument is traced."""
    trace = next(arg.trace for arg in args if isinstance(arg, Traced))
    place = trace.here()
    if not any(isinstance(arg, Value) for arg in args):
        for arg in args:
            if not isinstance(arg, (Expression, numbers.Real)):
                lift(trace, arg, place)
        return Expression(trace, op, args, place, **attr)
    if op in ("mul", "div") and not any(isinstance(arg, numbers.Real) for arg in args):
        if bare_left(place, ast.MatMult) is not None:
            sign = "*" if op == "mul" else "/"
            ask_for_parentheses(trace, place, f"(p.U @ h) {sign} r", f"p.U @ (h {sign} r)")
    return Value(trace, row(trace, op, args, place, place, **attr))
