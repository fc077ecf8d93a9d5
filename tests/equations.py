"""Equations drawn at random, as source text, and everything that a scan of them needs.

An expression is drawn for a width, by name: "input_size", "hidden_size", "proj_size". Every function keeps values near
1 and away from poles, so that a disagreement is a mistake and not rounding.
"""

from __future__ import annotations

import itertools
import linecache
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

import carousel
from carousel.graph import Cell
from runs import Call, make_call

SIDES = {  # declaration, width
    "dt": ("dt", "1"),
    "e": ("e=per_step('event_size')", "event_size"),
    "s": ("s=static('static_size')", "static_size"),
    "m": ("m=mask('hidden_size', keep=0.7)", "hidden_size"),
    "t": ("t=step_index()", "1"),
}
ONE_ARGUMENT = (
    *("sigmoid({})", "tanh({})", "relu({})", "abs({})", "sin({})", "cos({})", "floor(3 * {})", "softplus({})", "(-{})"),
    *("exp(-softplus({}))", "log(1.5 + abs({}))", "sqrt(1 + {} ** 2)", "stop_gradient({})", "clip({}, -0.5, 0.4)"),
    *("softmax({})", "normalize({}, eps=0.1)", "layer_norm({}, {p}, {p}, eps=0.1)", "layer_norm({}, {p}, eps=0.1)"),
    *("({p} * {})", "({} + {p})", "(sigmoid({p}) * {})", "(1 - {})", "(0.5 * {})", "({} / 3)", "(tanh({p}) / 2 + {})"),
)
TWO_ARGUMENTS = (
    *("({} + {})", "({} * {})", "({} - 0.5 * {})", "({} / (1 + abs({})))", "maximum({}, {})", "minimum({}, {})"),
    *("({} - mean({}))", "({} * sum({}))", "({} * where({} < 0.1, 1, 0.5))", "({} + (floor({}) == 0))"),
)
_numbers = itertools.count()


@dataclass
class Writer:
    """A function's source while it is drawn."""

    draw: Any
    pool: list[tuple[str, str]]  # names that can be used, with their widths
    used: set[str] = field(default_factory=set)
    parameters: int = 0

    def choose(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def parameter(self) -> str:
        self.parameters += 1
        return f"p.q{self.parameters}"

    def name(self, width: str | None = None) -> str:
        fitting = [name for name, w in self.pool if width in (None, w)]
        chosen = self.choose(fitting)
        self.used.add(chosen)
        return chosen

    def product(self, width: str) -> str:
        """A matrix times a name of any width; block-diagonal or transposed where the widths allow."""
        name = self.name()
        own = dict(self.pool)[name]
        if own == "1":
            return f"({self.parameter()} * {name})"
        forms = ["({p} @ {n})", "({p} @ {n})", "({p} @ tanh({n}))"]
        if name.startswith("s") and name[1:].isdigit():  # a state
            forms.append("({p} @ clip_gradient({n}, 0.3))")
        if own == width == "hidden_size":
            forms += ["({p}.blocks(2) @ {n})", "({p}.T @ {n})", "(({p} - {p}) @ {n})"]
        form = self.choose(forms)
        while "{p}" in form:
            form = form.replace("{p}", self.parameter(), 1)
        return form.replace("{n}", name)

    def joined(self, width: str) -> str:
        """Two rows side by side, and the second of them again."""
        first = self.choose(name for name, _ in self.pool)  # its width alone matters, which is no use of it
        return f"slice(concat({first}, {self.product(width)}), {first})"

    def expanded(self, width: str) -> str:
        """A block's value for each of its units, where there are blocks of this width."""
        product = self.product(width)
        blocks = [name for name, w in self.pool if w == "blocks"]
        if not blocks or width != "hidden_size":
            return product
        like = self.choose(name for name, w in self.pool if w == "hidden_size")
        return f"({product} * expand({self.name('blocks')}, like={like}))"

    def expression(self, width: str, depth: int) -> str:
        if depth == 0:
            named = any(w == width for _, w in self.pool)
            return self.name(width) if named and self.draw(st.booleans()) else self.product(width)
        kind = self.choose((*["one"] * 5, *["two"] * 4, "where", "product", "join", "expand"))
        if kind == "product":
            return self.product(width)
        if kind == "join":
            return self.joined(width)
        if kind == "expand":
            return self.expanded(width)
        if kind == "where":
            a, b, c, d = (self.expression(width, depth - 1) for _ in range(4))
            return f"where({a} {self.choose(('<', '<=', '>', '>='))} {b}, {c}, {d})"
        form = self.choose(ONE_ARGUMENT if kind == "one" else TWO_ARGUMENTS)
        while "{p}" in form:
            form = form.replace("{p}", self.parameter(), 1)
        return form.format(*(self.expression(width, depth - 1) for _ in range(form.count("{}"))))


@dataclass
class Equations:
    """A drawn cell."""

    source: str
    cell: Cell
    quantities: tuple[str, ...]  # names that can be recorded

    def __repr__(self) -> str:
        return self.source


@st.composite
def equations(draw: Any) -> Equations:
    """Cells of one to three states, up to three named quantities, and any kind of side input."""
    states = [f"s{k}" for k in range(draw(st.integers(1, 3)))]
    widths = dict.fromkeys(states, "hidden_size")
    if len(states) > 1 and draw(st.booleans()):
        widths["s0"] = "proj_size"
    sides = draw(st.lists(st.sampled_from(sorted(SIDES)), max_size=2, unique=True))
    pool = [("x", "input_size"), *widths.items(), *((side, SIDES[side][1]) for side in sides)]
    writer = Writer(draw, pool)
    lines, quantities = [], []
    for k in range(draw(st.integers(0, 3))):
        width = writer.choose(("hidden_size", "hidden_size", "input_size", "proj_size", "blocks"))
        lines.append(f"v{k} = {writer.expression(width, draw(st.integers(1, 3)))}")
        writer.pool.append((f"v{k}", width))
        quantities.append(f"v{k}")
    own_output = draw(st.booleans())
    targets = [("y", "hidden_size")] * own_output + [(f"n_{s}", widths[s]) for s in states]
    for name, width in targets[:-1]:
        lines.append(f"{name} = tanh({writer.expression(width, draw(st.integers(0, 3)))})")
    last, width = targets[-1]
    rest = [name for name, _ in writer.pool if name not in writer.used and name not in states]
    terms = [f"tanh({writer.expression(width, draw(st.integers(0, 3)))})"]
    terms += [f"({writer.parameter()} {'*' if dict(writer.pool)[n] == '1' else '@'} {n})" for n in rest]
    lines.append(f"{last} = {' + '.join(terms)}")
    signature = ", ".join(["x", *states, "p"]) + (", *, " + ", ".join(SIDES[s][0] for s in sides) if sides else "")
    body = "\n".join(f"    {line}" for line in [*lines, "return " + ", ".join(name for name, _ in targets)])
    source = f"def drawn({signature}):\n{body}\n"
    declared = {**widths, **{name: width for name, width in writer.pool if name.startswith("v")}}
    cell = carousel.cell(widths=declared)(compiled(source))
    return Equations(source, cell, (*quantities, *states))


def compiled(source: str) -> Any:
    """The function of a source text, with its lines where tracing looks for them."""
    file = f"<drawn {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    namespace = {name: getattr(carousel, name) for name in carousel.__all__ if name != "Forecaster"}
    exec(compile(source, file, "exec"), namespace)
    return namespace["drawn"]


@st.composite
def calls(draw: Any, drawn: Equations) -> Call:
    """Data for a drawn cell: empty batches and times, ragged rows with NaN in the padding, resets, frozen leaves."""
    T, B = draw(st.integers(0, 6)), draw(st.sampled_from((0, 1, 2, 3, 7)))
    choice = {"hidden_size": st.sampled_from((2, 4, 6, 66)), "blocks": st.sampled_from((1, 2))}
    lengths = draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    return make_call(
        drawn.cell,
        {size: draw(choice.get(size, st.integers(1, 3))) for size in drawn.cell.sizes},
        T,
        B,
        lengths=lengths,
        resets=draw(st.sampled_from((0.0, 0.3))),
        reverse=draw(st.booleans()),
        record=tuple(draw(st.lists(st.sampled_from(drawn.quantities), max_size=2, unique=True))),
        frozen=draw(st.sets(st.sampled_from(("x", "hx", "params", "sides", "initial")), max_size=2)),
        per_row=draw(st.booleans()),
        threads=draw(st.sampled_from((1, 1, 2, 3))),
        seed=draw(st.integers(0, 2**16)),
    )
