"""Equations drawn at random, as source text, and everything that a scan of them needs.

An expression is drawn for a width, by name: "input_size", "hidden_size", "proj_size". Every function keeps values near
1 and away from poles, so that a disagreement is a mistake and not rounding.
"""

from __future__ import annotations

import itertools
import linecache
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import carousel
from carousel.graph import Cell

DTYPE = torch.float64
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
        if own == width == "hidden_size":
            forms += ["({p}.blocks(2) @ {n})", "({p}.T @ {n})", "(({p} - {p}) @ {n})"]
        form = self.choose(forms)
        while "{p}" in form:
            form = form.replace("{p}", self.parameter(), 1)
        return form.replace("{n}", name)

    def joined(self, width: str) -> str:
        """Two rows side by side, and the second of them again."""
        first = self.name()
        return f"slice(concat({first}, {self.product(width)}), {first})"

    def expanded(self, width: str) -> str:
        """A block's value for each of its units, where there are blocks of this width."""
        product = self.product(width)
        blocks = [name for name, w in self.pool if w == "blocks"]
        if not blocks or width != "hidden_size":
            return product
        return f"({product} * expand({self.name('blocks')}, like={self.name('hidden_size')}))"

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


@dataclass
class Call:
    """The arguments of a scan, and weights for a loss over everything it returns."""

    sizes: dict[str, int]
    x: Tensor
    hx: tuple[Tensor, ...]
    params: dict[str, Tensor]
    sides: dict[str, Tensor]
    lengths: Tensor | None
    resets: Tensor | None
    initial: tuple[Tensor, ...]
    reverse: bool
    record: tuple[str, ...]
    seed: int

    def leaves(self) -> dict[str, Tensor]:
        """Everything that can have a gradient, by name."""
        named = {"x": self.x, **{f"p.{k}": v for k, v in self.params.items()}, **self.sides}
        named |= {f"hx[{k}]": h for k, h in enumerate(self.hx)}
        named |= {f"initial[{k}]": s for k, s in enumerate(self.initial)}
        return {name: leaf for name, leaf in named.items() if leaf.requires_grad}


@st.composite
def calls(draw: Any, drawn: Equations) -> Call:
    """Data for a drawn cell: empty batches and times, ragged rows with NaN in the padding, resets, frozen leaves."""
    cell = drawn.cell
    T, B = draw(st.integers(0, 6)), draw(st.sampled_from((0, 1, 2, 3, 7)))
    hidden = draw(st.sampled_from((2, 4, 6, 66)))
    choice = {"input_size": st.integers(1, 5), "hidden_size": st.just(hidden), "blocks": st.sampled_from((1, 2))}
    sizes = {size: draw(choice.get(size, st.integers(1, 3))) for size in cell.sizes}
    seed = draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    frozen = draw(st.sets(st.sampled_from(("x", "hx", "params", "sides", "initial")), max_size=2))

    def tensor(kind: str, *shape: int, scale: float = 1.0) -> Tensor:
        value = scale * torch.randn(*shape, generator=generator, dtype=DTYPE)
        return value.requires_grad_(kind not in frozen)

    widths = cell.state_widths(**sizes)
    lengths = resets = None
    if draw(st.booleans()):
        lengths = torch.tensor(draw(st.lists(st.integers(0, T), min_size=B, max_size=B)), dtype=torch.int64)
    if draw(st.booleans()):
        resets = torch.rand(T, B, generator=generator) < 0.3
    per_row = draw(st.booleans())
    call = Call(
        sizes=sizes,
        x=tensor("x", T, B, sizes["input_size"]),
        hx=tuple(tensor("hx", B, w) for w in widths),
        params={n: tensor("params", *s, scale=s[-1] ** -0.5 if s else 1.0) for n, s in cell.shapes(**sizes).items()},
        sides={},
        lengths=lengths,
        resets=resets,
        initial=tuple(tensor("initial", B, w) if per_row else tensor("initial", w) for w in widths),
        reverse=draw(st.booleans()),
        record=tuple(draw(st.lists(st.sampled_from(drawn.quantities), max_size=2, unique=True))),
        seed=seed,
    )
    for name, side in cell.sides.items():
        shape = ((T, B) if side.kind == "step" else (B,)) + (cell.side_width(name, **sizes),)
        if side.keep is None:
            call.sides[name] = tensor("sides", *shape)
        else:
            call.sides[name] = (torch.rand(shape, generator=generator) < side.keep).to(DTYPE) / side.keep
    if lengths is not None:
        spoil([call.x, *(v for n, v in call.sides.items() if cell.sides[n].kind == "step")], lengths)
    return call


def spoil(tensors: list[Tensor], lengths: Tensor) -> None:
    """NaN past each row's end of (T, B, w) tensors."""
    with torch.no_grad():
        for value in tensors:
            value[torch.arange(len(value))[:, None] >= lengths] = torch.nan
