"""The equations on a cell's page, read as they stand there, give the cell's numbers: page and function say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import test_registry as registry
from carousel import cells
from carousel.cells import Entry
from runs import close, make_call

OTHERWISE = {  # pages whose equations are not lines of the form `name = expression`, or name what the states do not
    *("mdlstm", "clockwork_rnn", "layer_norm_lstm", "phased_lstm", "mi_lstm", "recurrent_highway"),
    *("nested_lstm", "mogrifier_lstm", "tau_gru", "lru", "slstm", "t_gru", "t_lstm"),
}
ENTRIES = [entry for entry in registry.ENTRIES if entry.name not in OTHERWISE]
TOKEN = re.compile(r"\d+\.?\d*|[A-Za-z]\w*_\{t-1\}|[A-Za-z]\w*|\*\*|\^T|[-+*/(),]")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "exp": torch.exp,
    "sqrt": torch.sqrt,
    "max": lambda low, value: value.clamp(min=low),
}


class Matrix:
    """A matrix, or a sum of them; times rows (B, columns) it gives rows (B, rows)."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __add__(self, other: Matrix) -> Matrix:
        return Matrix(self.value + other.value)

    def __sub__(self, other: Matrix) -> Matrix:
        return Matrix(self.value - other.value)

    def __rmul__(self, factor: float) -> Matrix:
        return Matrix(factor * self.value)

    def times(self, other: Any) -> Any:
        return Matrix(self.value @ other.value) if isinstance(other, Matrix) else other @ self.value.T


class Reader:
    """An expression by descent: sums of products by * and / of what stands side by side, which binds more."""

    def __init__(self, text: str, value_of: Callable[[str], Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.tokens = TOKEN.findall(text)
        assert "".join(self.tokens) == text.replace(" ", ""), f"not understood: {text}"
        self.value_of, self.functions = value_of, functions

    def next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, *expected: str) -> str:
        assert not expected or self.next() in expected, f"{expected} expected before {self.tokens}"
        return self.tokens.pop(0)

    def sum(self) -> Any:
        value = 0 - self.product() if self.next() == "-" and self.take() else self.product()
        while self.next() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> Any:
        value = self.beside()
        while self.next() in ("*", "/"):
            value = value * self.beside() if self.take() == "*" else value / self.beside()
        return value

    def beside(self) -> Any:
        value = self.power()
        if not self.next() or self.next() in ("+", "-", "*", "/", ",", ")"):
            return value
        rest = self.beside()
        return value.times(rest) if isinstance(value, Matrix) else value * rest

    def power(self) -> Any:
        value = self.atom()
        if self.next() == "^T":
            self.take()
            return Matrix(value.value.T)
        return value ** self.atom() if self.next() == "**" and self.take() else value

    def atom(self) -> Any:
        token = self.take()
        if token == "(":
            return self.arguments()
        if token in self.functions and self.next() == "(":
            self.take()
            values = self.arguments(joined=False)
            return self.functions[token](*values)
        return float(token) if token[0].isdigit() else self.value_of(token)

    def arguments(self, joined: bool = True) -> Any:
        """What stands in brackets; several are one row unless they are a function's."""
        values = [self.sum()]
        while self.take(",", ")") == ",":
            values.append(self.sum())
        if not joined:
            return values
        return values[0] if len(values) == 1 else torch.cat(values, -1)


def equations(entry: Entry) -> Iterator[tuple[str, str]]:
    """Left and right sides of the first block; a highway's layers l are steps t, JANET's c is its h."""
    for line in entry.page.equations.partition("\n\n")[0].splitlines():
        line = re.sub(r"_l\b", "_t", line).replace("{l-1}", "{t-1}")
        if entry.name == "janet":
            line = line.replace("c_t", "h_t").replace("c_{t-1}", "h_{t-1}")
        left, equals, right = line.partition(" = ")
        assert equals, f"not understood: {line}"
        yield left.strip().removesuffix("_t"), right.strip()


def step(entry: Entry, known: dict[str, Any], before: dict[str, Tensor]) -> dict[str, Any]:
    """What the equations make in one step, by name."""
    made: dict[str, Any] = {}

    def value_of(name: str) -> Any:
        if name.endswith("_{t-1}"):
            return before[name.removesuffix("_{t-1}")]
        return next(found[key] for key in (name, name.removesuffix("_t")) for found in (made, known) if key in found)

    functions = FUNCTIONS | {k: v for k, v in entry.cell.options.items() if callable(v)}
    for left, right in equations(entry):
        reader = Reader(right, value_of, functions)
        value = reader.sum()
        assert not reader.tokens, f"{entry.name}: {reader.tokens} is left of {right}"
        made[left] = value
    return made


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_page_says_what_the_function_does(entry: Entry) -> None:
    sizes = {**registry.sizes(entry), **({"blocks": 4} if "blocks" in entry.cell.sizes else {})}
    call = make_call(entry.cell, sizes, 4, 3)
    found = registry.plain_scan("eager", entry, call)
    known: dict[str, Any] = {name: value for name, value in entry.cell.options.items() if not callable(value)}
    known |= {name: Matrix(value) if value.dim() == 2 else value for name, value in call.params.items()}
    known["I"] = Matrix(torch.eye(4, dtype=torch.float64))
    before, outputs = dict(zip(entry.cell.states, call.hx, strict=True)), []
    for t in range(4):
        sides = {name: v[t] if entry.cell.sides[name].kind == "step" else v for name, v in call.sides.items()}
        made = step(entry, {**known, **sides, "x": call.x[t]}, before)
        before = {name: made[name] for name in before}
        outputs.append(made["y"] if "y" in made else made["h"] if "h" in made else made["c"])
    want = {"y": torch.stack(outputs), **{f"final[{k}]": value for k, value in enumerate(before.values())}}
    close(found, want, entry.name)


def test_pages_that_are_read_otherwise_are_registered() -> None:
    assert set(cells.names()) >= OTHERWISE
