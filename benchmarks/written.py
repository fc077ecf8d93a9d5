"""A cell's step as an author writes it by hand for PyTorch or JAX: source text made from the step graph.

As a careful author does it, what waits for no state is computed for all steps at once before the loop, and products
with the same row are one product. The text is plain: TorchScript, `torch.compile` and `jax.jit` take it as it is.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Mapping
from typing import Any

from carousel.graph import Cell
from carousel.graph.levels import LOOP, levels

OPERATIONS = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "recip": "1.0 / {}",
    "where": "np.where({} != 0, {}, {})",
    "lt": "1.0 * ({} < {})",
    "le": "1.0 * ({} <= {})",
    "gt": "1.0 * ({} > {})",
    "ge": "1.0 * ({} >= {})",
    "normalize": "normalize({}, {eps})",
    "mean": "np.mean({}, -1, keepdims=True)",
    "slice": "{}[..., {start}:{stop}]",
    "expand": "expand({}, {times})",
    "transpose": "np.swapaxes({}, -1, -2)",
}
FUNCTIONS = {"tanh", "exp", "log", "abs", "sqrt", "floor", "maximum", "minimum"}  # by these names in both libraries

TORCH = """
import torch
import torch as np
from torch.nn.functional import relu, softplus
sigmoid = torch.sigmoid

def blocks(matrix, row):
    rows = row.unflatten(-1, [matrix.shape[0], matrix.shape[2]])
    return torch.einsum("hoi,...hi->...ho", matrix, rows).flatten(-2)

def stop(row):
    return row.detach()

def normalize(row, eps: float):
    return torch.nn.functional.layer_norm(row, row.shape[-1:], eps=eps)

def expand(row, times: int):
    return torch.repeat_interleave(row, times, -1)
"""
JAX = """
import jax.numpy as np
from jax.lax import stop_gradient as stop
from jax.nn import relu, sigmoid, softplus

def blocks(matrix, row):
    rows = row.reshape(*row.shape[:-1], matrix.shape[0], matrix.shape[2])
    found = np.einsum("hoi,...hi->...ho", matrix, rows)
    return found.reshape(*row.shape[:-1], -1)

def normalize(row, eps):
    mean = row.mean(-1, keepdims=True)
    return (row - mean) / np.sqrt(((row - mean) ** 2).mean(-1, keepdims=True) + eps)

def expand(row, times):
    return np.repeat(row, times, -1)
"""
_files = itertools.count()


class Unwritten(Exception):
    """An operation of the cell that this module does not write."""


class Written:
    """`before(x, *sides, *parameters)` gives what every step reads, first the rows of all steps (`at_steps` many) and
    then what does not change; `step(*rows of one step, *the others, *states)` gives y and the new states."""

    def __init__(self, cell: Cell, sizes: Mapping[str, int], library: str):
        self.cell, self.sizes, self.nodes = cell, sizes, cell.step.nodes
        self.level = levels(cell.step, cell.sides)
        self.joined = self._joined()
        inside = [n for n, level in enumerate(self.level) if level == LOOP and self.nodes[n].op != "state"]
        read = {a for n in inside for a in self._reads(n)} | {cell.step.output, *cell.step.outputs}
        read = {n for n in read if self.level[n] < LOOP and self.nodes[n].op != "number"}
        rows = sorted(n for n in read if self._changes(n))
        others = sorted(read - set(rows))
        self.at_steps = len(rows)
        given = [f"n{n}" for n in (*rows, *others)] + [f"w{n}" for n in self.joined]
        states = [f"n{n}" for n in sorted(self._states(), key=lambda n: self.nodes[n].attr["k"])]
        leaves = [f"n{n}" for n, node in enumerate(self.nodes) if node.op in ("input", "side", "parameter")]
        early = [n for n in range(len(self.nodes)) if self.level[n] < LOOP]
        weights = [f"w{n} = {self._stacked(group)}" for n, group in self.joined.items()]
        results = [f"n{n}" for n in (cell.step.output, *cell.step.outputs)]
        self.leaves = [self.nodes[int(name[1:])] for name in leaves]
        text = _function("before", leaves, [*self._lines(early), *weights], [*given, ""])
        text += _function("step", [*given, *states], self._lines(inside), results)
        self.functions = _load((TORCH if library == "torch" else JAX) + text + _loop(given, states, self.at_steps))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self.functions[name]

    def _states(self) -> list[int]:
        return [n for n, node in enumerate(self.nodes) if node.op == "state"]

    def _changes(self, n: int) -> bool:
        """Whether a value has a row for each step."""
        node = self.nodes[n]
        step_side = node.op == "side" and self.cell.sides[node.attr["name"]].kind == "step"
        return node.op == "input" or step_side or any(self._changes(a) for a in node.args)

    def _joined(self) -> dict[int, list[int]]:
        """The products within the loop that meet the same row, by the first of them."""
        groups: dict[int, list[int]] = {}
        for n, node in enumerate(self.nodes):
            if node.op == "matmul" and self.level[n] == LOOP and node.attr.get("heads", 1) == 1:
                groups.setdefault(node.args[1], []).append(n)
        return {group[0]: group for group in groups.values()}

    def _reads(self, n: int) -> list[int]:
        """What node n reads in the loop; matrices of joined products were put together before."""
        return [self.nodes[n].args[1]] if any(n in group for group in self.joined.values()) else [*self.nodes[n].args]

    def _stacked(self, group: list[int]) -> str:
        matrices = ", ".join(f"n{self.nodes[n].args[0]}" for n in group)
        return f"np.concatenate([{matrices}]).T" if len(group) > 1 else f"{matrices}.T"

    def _lines(self, nodes: list[int]) -> list[str]:
        lines: list[str] = []
        later = {n for group in self.joined.values() for n in group[1:]}
        for n in nodes:
            node = self.nodes[n]
            if n in self.joined:
                lines += self._split(n)
            elif n not in later and node.op not in ("input", "side", "parameter", "state", "number"):
                lines.append(f"n{n} = {self._expression(n)}")
        return lines

    def _split(self, n: int) -> list[str]:
        lines, start = [f"z{n} = np.matmul(n{self.nodes[n].args[1]}, w{n})"], 0
        for m in self.joined[n]:
            stop = start + self.nodes[m].width.resolve(self.sizes)
            lines.append(f"n{m} = z{n}[..., {start}:{stop}]")
            start = stop
        return lines

    def _expression(self, n: int) -> str:
        node = self.nodes[n]
        args = [str(self.nodes[a].attr["value"]) if self.nodes[a].op == "number" else f"n{a}" for a in node.args]
        if node.op == "matmul":
            heads = node.attr.get("heads", 1)
            return f"blocks({args[0]}, {args[1]})" if heads > 1 else f"np.matmul({args[1]}, {args[0]}.T)"
        if node.op in FUNCTIONS:
            return f"np.{node.op}({', '.join(args)})"
        if node.op in ("sigmoid", "relu", "softplus", "stop"):
            return f"{node.op}({args[0]})"
        if node.op == "concat":
            return f"np.concatenate([{', '.join(args)}], -1)"
        if node.op not in OPERATIONS:
            raise Unwritten(f"{self.cell.name} has {node.op}, which is not written by hand here")
        places = {k: v if isinstance(v, int | float) else v.resolve(self.sizes) for k, v in node.attr.items()}
        if node.op == "expand":
            source = self.nodes[node.args[0]]
            places["times"] = node.width.resolve(self.sizes) // source.width.resolve(self.sizes)
        return OPERATIONS[node.op].format(*args, **places)


def _loop(given: list[str], states: list[str], at_steps: int) -> str:
    """The loop over steps, for PyTorch and TorchScript: `loop(T, *given, *states)`."""
    rows = [f"{name}[t]" for name in given[:at_steps]] + given[at_steps:]
    calls = f"y, {', '.join(states)} = step({', '.join([*rows, *states])})"
    lines = ["ys = []", "for t in range(T):", f"    {calls}", "    ys.append(y)", "y = np.stack(ys)"]
    return _function("loop", ["T: int", *given, *states], lines, ["y"])


def _function(name: str, arguments: list[str], lines: list[str], results: list[str]) -> str:
    body = "\n    ".join([*lines, "return " + ", ".join(results)])
    return f"\ndef {name}({', '.join(arguments)}):\n    {body}\n"


def _load(text: str) -> dict[str, Any]:
    """The functions of the text, whose source TorchScript can look up."""
    name = f"<written {next(_files)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": name}
    exec(compile(text, name, "exec"), space)
    return space
