"""`python -m benchmarks.rivals_of_cells`: cells of ten kinds against the best of a Python loop, `torch.jit.script`,
`torch.compile` and `jax.lax.scan`, all written from the cell's own equations (see `benchmarks.written`).

Before anything is timed, each must give the output and the gradients of the Python loop.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

import carousel as ca
from benchmarks import agreement, results, timing
from benchmarks.cells import sizes
from benchmarks.grid import Shape, parse
from benchmarks.marks import geometric_mean
from benchmarks.rivals import Plain, Side
from benchmarks.written import Written
from carousel.graph import Cell

CELLS = (
    "elman gru peephole_lstm li_gru lstm_1997 layer_norm_lstm projected_lstm time_aware_lstm nas_cell slstm"
).split()
SHAPES = (Shape(24, 32, 1, 25), Shape(100, 1, 64, 64), Shape(100, 16, 64, 128), Shape(100, 16, 512, 512))
OURS, LOOP, SCRIPT, COMPILE, SCAN = "carousel", "Python loop", "torch.jit.script", "torch.compile", "jax.lax.scan"
RIVALS = [LOOP, SCRIPT, COMPILE, SCAN]
PART = "cells against loops"
NOISE = 50  # times what the Python loop in float32 is off by: sums in another order


class Case:
    """A cell at a shape: our layer and, with its parameters, the rivals."""

    def __init__(self, cell: Cell, shape: Shape, seed: int):
        torch.manual_seed(seed)
        self.cell, self.shape, self.sizes = cell, shape, sizes(cell, shape)
        self.layer = ca.Recurrent(cell, engine="native", **self.sizes)  # type: ignore[arg-type]
        self.x = torch.randn(shape.T, shape.B, shape.I)
        self.sides = {name: self._side(name) for name in cell.sides}
        self.gradient = torch.randn(shape.T, shape.B, cell.output_width(**self.sizes))
        own = {name: self.layer.get_parameter(f"{name}_l0").detach() for name in cell.parameters}
        self.given = {"parameter": own, "side": self.sides}

    def _side(self, name: str) -> Tensor:
        front = (self.shape.T, self.shape.B) if self.cell.sides[name].kind == "step" else (self.shape.B,)
        return torch.rand(*front, self.cell.side_width(name, **self.sizes))

    def make(self, names: list[str]) -> dict[str, Any]:
        """The sides, each of which agrees with the Python loop.

        Some cells are chaotic: rounding grows from step to step, whoever computes. So what the loop itself loses
        against float64 is allowed for.
        """
        makers = {OURS: self.ours, LOOP: self.loop, SCRIPT: self.script, COMPILE: self.compiled, SCAN: self.scan}
        made: dict[str, Any] = {name: makers[name]() for name in names}
        want, want_dx = (value.detach() for value in made[LOOP].training())
        noise, noise_dx = (
            NOISE * (got - true).abs().max().item()
            for got, true in zip((want, want_dx), self.loop(torch.float64).training(), strict=True)
        )
        for name, side in made.items():
            y, dx = side.training()
            for what, got, true, lost in (
                ("y", side.forward(), want, noise),
                ("y in training", y, want, noise),
                ("dx", dx, want_dx, noise_dx),
            ):
                got = got.detach() if isinstance(got, Tensor) else torch.tensor(numpy.asarray(got))
                error = (got - true).abs().max().item()
                if not error <= 1e-3 * (1 + true.abs().max().item()) + lost:
                    raise timing.Disagreement(
                        f"{self.cell.name} as {name} at {self.shape.name}: {what} off by {error:.2g}"
                    )
        return made

    def ours(self) -> Side:
        x = self.x.clone().requires_grad_()
        return Side(lambda x: self.layer(x, **self.sides)[0], self.layer.parameters(), Plain(x, self.gradient))

    def loop(self, dtype: torch.dtype = torch.float32) -> Side:
        written = Written(self.cell, self.sizes, "torch")
        return self._in_torch(written, written.loop, dtype)

    def script(self) -> Side:
        written = Written(self.cell, self.sizes, "torch")
        return self._in_torch(written, torch.jit.script(written.loop))

    def compiled(self) -> Side:
        """The whole loop, unrolled, up to 32 steps; the step alone above (minutes otherwise)."""
        written = Written(self.cell, self.sizes, "torch")
        if self.shape.T <= 32:
            return self._in_torch(written, torch.compile(written.loop, dynamic=False))
        written.functions["step"] = torch.compile(written.functions["step"], dynamic=False)
        return self._in_torch(written, written.loop)

    def _in_torch(self, written: Written, loop: Any, dtype: torch.dtype = torch.float32) -> Side:
        leaves = [self._leaf(node, self.x).to(dtype) for node in written.leaves]
        at = next(k for k, node in enumerate(written.leaves) if node.op == "input")
        learned = [
            leaf.clone().requires_grad_() if node.op == "parameter" else leaf
            for node, leaf in zip(written.leaves, leaves, strict=True)
        ]
        states = [
            torch.full((self.shape.B, width), self.cell.initial[name], dtype=dtype)
            for name, width in zip(self.cell.states, self.cell.state_widths(**self.sizes), strict=True)
        ]

        def call(x: Tensor) -> Tensor:
            y: Tensor = loop(self.shape.T, *written.before(*learned[:at], x, *learned[at + 1 :]), *states)
            return y

        own = [leaf for leaf in learned if leaf.requires_grad]
        return Side(call, own, Plain(self.x.to(dtype, copy=True).requires_grad_(), self.gradient.to(dtype)))

    def _leaf(self, node: Any, x: Tensor) -> Tensor:
        return x if node.op == "input" else self.given[node.op][node.attr["name"]]

    def scan(self) -> ScanSide:
        return ScanSide(self)


class ScanSide:
    """`jax.lax.scan` under `jax.jit`; arrays are converted once, outside of what is timed."""

    def __init__(self, case: Case):
        import jax
        import jax.numpy as jnp

        written = Written(case.cell, case.sizes, "jax")
        at = next(k for k, node in enumerate(written.leaves) if node.op == "input")
        leaves = [jnp.asarray(case._leaf(node, case.x).numpy()) for node in written.leaves]
        fixed = {k: leaf for k, leaf in enumerate(leaves) if written.leaves[k].op == "side"}
        self.own = {k: leaf for k, leaf in enumerate(leaves) if written.leaves[k].op == "parameter"}
        self.x, self.gradient = leaves[at], jnp.asarray(case.gradient.numpy())
        widths = case.cell.state_widths(**case.sizes)
        states = tuple(
            jnp.full((case.shape.B, width), case.cell.initial[name])
            for name, width in zip(case.cell.states, widths, strict=True)
        )

        def call(x, own):
            all_leaves = {**fixed, **own, at: x}
            given = written.before(*(all_leaves[k] for k in range(len(leaves))))
            rows, others = given[: written.at_steps], given[written.at_steps :]

            def advance(states, row):
                y, *new = written.step(*row, *others, *states)
                return tuple(new), y

            return jax.lax.scan(advance, states, rows)[1]

        def train(x, own, gradient):
            y, pull = jax.vjp(call, x, own)
            return y, pull(gradient)

        self.call, self.train, self.ready = jax.jit(call), jax.jit(train), jax.block_until_ready

    def forward(self) -> Any:
        return self.ready(self.call(self.x, self.own))

    def training(self) -> tuple[Any, Any]:
        y, (dx, _) = self.ready(self.train(self.x, self.own, self.gradient))
        return y, dx


def measure(cell: Cell, shape: Shape, threads: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one cell at one shape. A rival that can not take the cell is named, not counted."""
    timing.use_threads(threads)
    torch._dynamo.reset()
    names = [name for name in options.rivals if name != SCAN or importlib.util.find_spec("jax")]
    found = timing.measure(
        lambda seed: Case(cell, shape, seed).make([OURS, *names]), {OURS: tuple(names)}, options.pairs, options.seconds
    )
    when = f"{datetime.datetime.now():%Y-%m-%d %H:%M} of {results.commit()}"
    known = {"part": PART, "shape": f"{cell.name} {shape.name}", "threads": threads, "measured": when}
    return [known | row for row in found]


def fits(cell: Cell, shape: Shape) -> bool:
    """Whether the cell can be of that size: blocks and heads divide the hidden units of some."""
    try:
        cell.check_sizes(sizes(cell, shape))
    except ValueError as error:
        print(f"left out: {error}", flush=True)
        return False
    return True


def markdown(found: dict[str, Any]) -> str:
    """A line for each cell and shape: the best rival, and how many times as fast we are."""
    facts = found["about"]
    lines = [
        f"{facts['cpu']}, {facts['date']}, PyTorch {facts['torch']}, Carousel {facts['carousel']}, float32.",
        "",
        "| cell (T, B, I, H) | threads | forward, ms | best rival | times | training, ms | best rival | times |",
        "|---|---:|---:|---|---:|---:|---|---:|",
    ]
    ours = [row for row in found["rows"] if row["side"] == OURS]
    for shape, threads in dict.fromkeys((row["shape"], row["threads"]) for row in ours):
        pair = [row for row in ours if (row["shape"], row["threads"]) == (shape, threads)]
        columns = [f"{row['milliseconds']:.2f} | {row['best']} | {row['ratio']:.2f}" for row in pair]
        lines.append(f"| {shape} | {threads} | " + " | ".join(columns) + " |")
    for mode in timing.MODES:
        ratios = [row["ratio"] for row in ours if row["mode"] == mode]
        lines.append(f"\n{mode}: geometric mean {geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals_of_cells", description=__doc__)
    parser.add_argument("cells", nargs="*", default=CELLS, help="default: ten of different kinds")
    parser.add_argument("--shapes", nargs="+", type=parse, default=list(SHAPES), metavar="T,B,I,H")
    parser.add_argument("--threads", nargs="+", type=int, default=[len(timing.PROCESSORS)])
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS, help="the Python loop is always run")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each race")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    options.rivals = list(dict.fromkeys([LOOP, *options.rivals]))
    agreement.tests(quick=True)
    facts, rows = results.about(), []
    try:
        for threads in options.threads:
            for name in options.cells:
                cell = getattr(ca.cells, name)
                for shape in (shape for shape in options.shapes if fits(cell, shape)):
                    measured = measure(cell, shape, threads, options)
                    ours = [f"{row['ratio']:.2f} of {row['best']}" for row in measured if row["side"] == OURS]
                    print(f"{name} {shape.name} {threads}: " + ", ".join(ours), flush=True)
                    rows += measured
                results.write(options.json or results.target(facts, "loops"), {"about": facts, "rows": rows}, markdown)
    except timing.Disagreement as error:
        raise SystemExit(f"benchmarks: {error}") from None


if __name__ == "__main__":
    main()
