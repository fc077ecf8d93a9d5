"""`python -m benchmarks.cells`: every registered cell of the step graph against our own LSTM and `torch.nn.LSTM`.

What a cell costs beyond its matrix products is what can be compared between cells. So its time is set against our
LSTM's, each divided by the operations of its own matrix products. Cells whose products read more than the previous
state wait within the step; they and those that hardly multiply are shown against their floor: their own programs
emptied of instructions, the same products in the same sizes and order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import carousel as ca
from benchmarks import agreement, floor, results, timing
from benchmarks.grid import Shape, parse
from benchmarks.rivals import Plain, Side
from carousel.graph import AnyCell, Cell
from carousel.graph.levels import LOOP, STEP, levels

SHAPES = (Shape(100, 16, 64, 128), Shape(100, 16, 512, 512))
THEIRS, OURS, MINE, FLOOR = "torch.nn.LSTM", "carousel lstm", "the cell", "its products"


LEGEND = (
    "Each entry is forward / forward and backward. *products*: multiply-adds of the matrix products of a step and "
    "row, over H². *per product*: time over our LSTM's, each divided by its products. *of floor*: time over that of "
    "the same products alone, run by the same core. Cells marked * multiply something that the same step computes."
)


class Product(NamedTuple):
    """A matrix that a step multiplies by: its shape, the node that it meets, and whether that is within the loop."""

    rows: int
    columns: int
    operand: int
    inside: bool
    heads: int


def cells_to_measure(names: list[str]) -> Iterator[AnyCell]:
    """The registered cells of the layer `Recurrent`; those of other layers have a benchmark of their own."""
    for entry in ca.cells.entries():
        if entry.layer == "Recurrent" and (not names or entry.name in names):
            yield entry.cell


def too_large(cell: AnyCell, shape: Shape) -> bool:
    """The matrix per step of some cells is made by more parameters than is sensible: 134 million for 512 units."""
    return sum(map(math.prod, cell.shapes(**sizes(cell, shape)).values())) > 50_000_000


def sizes(cell: AnyCell, shape: Shape) -> dict[str, int]:
    """Further sizes are as large as the hidden state, static attributes eight, blocks of four cells."""
    known = {"input_size": shape.I, "hidden_size": shape.H, "static_size": 8, "blocks": shape.H // 4}
    return {name: known.get(name, shape.H) for name in cell.sizes}


def products(cell: AnyCell, found: dict[str, int]) -> list[Product]:
    """The matrix products of a step that change with it; none are known of a cell that is no step graph."""
    if not isinstance(cell, Cell):
        return []
    level = levels(cell.step, cell.sides)
    result = []
    for node, n in zip(cell.step.nodes, level, strict=True):
        if node.op == "matmul" and n >= STEP:
            matrix, operand = node.args
            rows, columns = (width.resolve(found) for width in cell.step.nodes[matrix].width)
            result.append(Product(rows, columns, operand, n == LOOP, node.attr.get("heads", 1)))
    return result


def waits(cell: AnyCell) -> bool:
    """Whether a product reads something that this step computes, so that it waits within the step."""
    if not isinstance(cell, Cell):
        return False
    nodes = cell.step.nodes
    early = {n for n, node in enumerate(nodes) if node.op == "state"}
    for n, node in enumerate(nodes):
        if node.op == "stop" and node.args[0] in early:
            early.add(n)
    return any(p.inside and p.operand not in early for p in products(cell, sizes(cell, SHAPES[0])))


def recurrent(cell: AnyCell) -> bool:
    """Whether a product reads a state: only such cells have what our LSTM can be compared in."""
    return any(p.inside for p in products(cell, sizes(cell, SHAPES[0])))


def operations(cell: AnyCell, found: dict[str, int]) -> float:
    """Multiply-adds of the matrix products of one row-step."""
    return sum(p.rows * p.columns / p.heads for p in products(cell, found))


def products_alone(cell: AnyCell, shape: Shape) -> Side:
    """The cell's own programs without their instructions."""
    side = layer_side(cell, shape)
    whole = side.call
    side.call = lambda x: floor.products_alone(lambda: whole(x))
    return side


def layer_side(cell: AnyCell, shape: Shape) -> Side:
    """`Recurrent(cell)` on the native engine (cells on tensors: all steps at once), which must agree with the eager
    engine first."""
    found = sizes(cell, shape)
    torch.manual_seed(0)
    layer = ca.Recurrent(cell, engine="native" if isinstance(cell, Cell) else "auto", **found)  # type: ignore[arg-type]
    x = torch.randn(shape.T, shape.B, found["input_size"], requires_grad=True)
    sides = {
        name: torch.rand(*((shape.T, shape.B) if side.kind == "step" else (shape.B,)), cell.side_width(name, **found))
        for name, side in cell.sides.items()
    }
    check(layer, x.detach(), sides)
    width = cell.output_width(**found)
    return make(lambda a: layer(a, **sides)[0], layer, x, width)


def check(layer: ca.Recurrent, x: Tensor, sides: dict[str, Tensor]) -> None:
    """Raises `Disagreement` unless the first steps are those of the eager engine."""
    steps = {n: v[:5] if layer.cell.sides[n].kind == "step" else v for n, v in sides.items()}
    engine = layer.engine
    with torch.no_grad():
        got = layer(x[:5], **steps)[0]
        layer.engine = "eager"
        want = layer(x[:5], **steps)[0]
        layer.engine = engine
    error = (got - want).abs().max().item()
    if not error <= 1e-4 * (1 + want.abs().max().item()):
        raise timing.Disagreement(f"{layer.cell.name}: native is off by {error:.2g}; nothing is reported")


def torch_side(shape: Shape) -> Side:
    layer = nn.LSTM(shape.I, shape.H)
    return make(lambda a: layer(a)[0], layer, torch.randn(shape.T, shape.B, shape.I, requires_grad=True), shape.H)


def make(call: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor, width: int) -> Side:
    return Side(call, layer.parameters(), Plain(x, torch.randn(*x.shape[:2], width)))


def measure(cell: AnyCell, shape: Shape, seconds: float) -> list[dict[str, Any]]:
    """One row a mode: the cell's milliseconds beside our LSTM's, PyTorch's and the floor's."""
    lstm, own = ca.cells.lstm, operations(cell, sizes(cell, shape))
    sides: dict[str, Any] = {THEIRS: torch_side(shape), OURS: layer_side(lstm, shape), MINE: layer_side(cell, shape)}
    if own:
        sides[FLOOR] = products_alone(cell, shape)
    rows = []
    for mode in timing.MODES:
        times = timing.race(sides, mode, seconds)
        mine, ours = times[MINE], times[OURS]
        share = own / operations(lstm, sizes(lstm, shape))
        rows.append(
            {
                "cell": cell.name,
                "shape": [shape.T, shape.B, shape.I, shape.H],
                "mode": mode,
                "ms": 1e3 * mine,
                "lstm_ms": 1e3 * ours,
                "torch_ms": 1e3 * times[THEIRS],
                "products": own / shape.H**2,
                "per_product": mine / ours / share if share else None,
                "floor_ms": 1e3 * times[FLOOR] if own else None,
                "waits": waits(cell),
                "recurrent": recurrent(cell),
            }
        )
    return rows


def compared(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as those of the other benchmarks, for their table of marks: how many times as fast a cell is as our LSTM
    a product, or where its products wait within the step or do not recur, as its products alone."""
    rows = []
    for row in found["rows"]:
        by_floor = row["waits"] or not row["recurrent"]
        alone = by_floor and row["floor_ms"]
        if alone or row["per_product"]:
            rows.append(
                {
                    "part": "cells by floor" if by_floor else "cells",
                    "shape": f"{row['cell']} {Shape(*row['shape']).name}",
                    "threads": found["about"]["threads"][0],
                    "mode": row["mode"],
                    "side": MINE,
                    "milliseconds": row["ms"],
                    "ratio": alone / row["ms"] if alone else 1 / row["per_product"],
                    "measured": found["about"]["date"],
                }
            )
    return rows


def markdown(found: dict[str, Any]) -> str:
    """One table a shape: what is measured forward / in training."""
    facts = found["about"]
    parts = [
        f"{facts['cpu']}, {facts['date']}, PyTorch {facts['torch']}, Carousel {facts['carousel']} "
        f"({facts['variant']}), float32, {facts['threads'][0]} threads. {LEGEND}"
    ]
    for shape in dict.fromkeys(tuple(row["shape"]) for row in found["rows"]):
        rows = [row for row in found["rows"] if tuple(row["shape"]) == shape]
        head = ["cell", "products", "ms", "of torch.nn.LSTM", "of our LSTM", "per product", "of floor"]
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        for name in dict.fromkeys(row["cell"] for row in rows):
            lines.append(
                line(name, [next(r for r in rows if r["cell"] == name and r["mode"] == m) for m in timing.MODES])
            )
        parts.append(f"### (T, B, I, H) = {shape}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def line(name: str, pair: list[dict[str, Any]]) -> str:
    def both(value: Callable[[dict[str, Any]], float | None]) -> str:
        return " / ".join("–" if (v := value(row)) is None else f"{v:.2f}" for row in pair)

    columns = [
        f"`{name}`{'*' * pair[0]['waits']}",
        f"{pair[0]['products']:.2f}" if pair[0]["products"] else "–",
        both(lambda r: r["ms"]),
        both(lambda r: r["ms"] / r["torch_ms"]),
        both(lambda r: r["ms"] / r["lstm_ms"]),
        both(lambda r: r["per_product"]),
        both(lambda r: r["floor_ms"] and r["ms"] / r["floor_ms"]),
    ]
    return "| " + " | ".join(columns) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("cells", nargs="*", help="these cells (default: all)")
    parser.add_argument("--shapes", nargs="+", type=parse, default=list(SHAPES), metavar="T,B,I,H")
    parser.add_argument("--threads", type=int, default=len(timing.PROCESSORS))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each cell, shape and mode")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    agreement.tests(quick=False)
    timing.use_threads(options.threads)
    rows = []
    try:
        for cell in cells_to_measure(options.cells):
            for shape in (shape for shape in options.shapes if not too_large(cell, shape)):
                pair = measure(cell, shape, options.seconds)
                print(f"{shape.name} {line(cell.name, pair)}", flush=True)
                rows += pair
    except timing.Disagreement as error:
        raise SystemExit(f"benchmarks: {error}") from None
    facts = results.about() | {"threads": [options.threads]}
    results.write(options.json or results.target(facts, "cells"), {"about": facts, "rows": rows}, markdown)


if __name__ == "__main__":
    main()
