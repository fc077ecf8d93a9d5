"""`python -m benchmarks.instructions`: how many instructions the core runs in one call, counted by valgrind.

Wall time is noisy; these counts are not. Valgrind knows no AVX-512, so the avx2 kernels are counted. Only instructions
inside the core's shared object count: neither Python's nor PyTorch's, nor those of the C library.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import results
from benchmarks.grid import Shape, draw

SHAPES = (
    Shape(24, 32, 1, 25),
    Shape(24, 32, 32, 64),
    Shape(20, 16, 64, 128),
    Shape(10, 16, 256, 256),
    Shape(20, 1, 256, 256),
    Shape(63, 1, 24, 32, bidirectional=True),
)
MODES = {"inference": 1, "training, forward": 1, "training, backward": 2}  # the products, in forward passes
FUNCTIONS = ("relu", "exp", "sigmoid", "tanh", "softplus")
TILE = Shape(
    40, 6, 64, 64
)  # on which a function is applied to the state at each step; relu shows what the step costs beside
LINES = {"lstm": "carousel.LSTM", "function": f"a function alone, {TILE.T} steps on {TILE.B} x {TILE.H}"}


class Count(NamedTuple):
    """What one count is of, and what it is divided by: multiply-adds of the products, or elements of the tile."""

    part: str
    name: str
    mode: str
    work: int


def counts() -> list[Count]:
    """All, in the order in which `run_calls` makes their calls."""
    layers = [
        Count("lstm", shape.name, mode, passes * shape.flops(shape.T * shape.B, training=False) // 2)
        for shape in SHAPES
        for mode, passes in MODES.items()
    ]
    return layers + [Count("function", name, "inference", TILE.T * TILE.B * TILE.H) for name in FUNCTIONS]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="SRC", help="src of another source tree, with its core built")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # what valgrind runs
    options = parser.parse_args()
    if options.inside:
        return run_calls()
    if not shutil.which("valgrind"):
        raise SystemExit("instructions: valgrind is not installed, and nothing else here counts instructions.")
    import carousel

    here = Path(carousel.__file__).parents[1]
    sources = {results.commit(source): source for source in (options.against, here) if source}
    columns = {commit: count(source.resolve()) for commit, source in sources.items()}
    found: dict[str, Any] = {
        "about": results.about() | {"variant": "avx2"},
        "rows": [
            {**row._asdict(), "instructions": {commit: column[n] for commit, column in columns.items()}}
            for n, row in enumerate(counts())
        ],
    }
    print(markdown(found))
    results.write(results.target(found["about"], "instructions"), found, markdown)


# -- inside valgrind


def run_calls() -> None:
    """Every call twice: to warm up, then counted, which writes a profile."""
    from carousel import _core

    torch.set_num_threads(1)
    _core.set_variant("avx2")
    control("--instr=on")
    for shape in SHAPES:
        lstm_calls(shape)
    for name in FUNCTIONS:
        function_call(name)


def control(option: str) -> None:
    command = ["callgrind_control", option, str(os.getpid())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def counted(call: Callable[[], Any]) -> Any:
    control("--zero")
    result = call()
    control("--dump")
    return result


def lstm_calls(shape: Shape) -> None:
    import carousel

    layer, data = carousel.LSTM(shape.I, shape.H, bidirectional=shape.bidirectional), draw(shape, 0)
    with torch.no_grad():
        layer(data.x)
        counted(lambda: layer(data.x))
    layer(data.x)[0].backward(data.gradient)
    y, _ = counted(lambda: layer(data.x))
    counted(lambda: y.backward(data.gradient))


@torch.no_grad()
def function_call(name: str) -> None:
    """A cell that is the function and nothing else."""
    import carousel
    from carousel import graph

    def alone(x, h, p):
        return getattr(graph, name)(h)

    layer, x = carousel.Recurrent(graph.cell(alone), TILE.I, TILE.H), draw(TILE, 0).x
    layer(x)
    counted(lambda: layer(x))


# -- outside


def count(source: Path) -> list[int]:
    """The instructions of each of `counts()` by the core under `source`, which its own Python calls."""
    if not list(source.glob("carousel/_core*")):
        raise SystemExit(f"instructions: no core is built under {source}, expected the src of a tree with one.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        inside = [sys.executable, "-m", "benchmarks.instructions", "--inside"]
        environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*valgrind, *inside], env=environment, capture_output=True, text=True)
        profiles = [Path(f"{out}.{n + 1}") for n in range(len(counts()))]
        if done.returncode or not all(profile.exists() for profile in profiles):
            raise SystemExit(f"instructions: valgrind failed on the core under {source}:\n{done.stderr[-2000:]}")
        return [sum(of_core(profile.read_text())) for profile in profiles]


def of_core(profile: str) -> Iterator[int]:
    """A callgrind profile's own costs inside the core. A name is given once, later lines have its number."""
    core, inside, called = "", False, False
    for line in profile.splitlines():
        if found := re.match(r"(c?)ob=(\(\d+\))(.*)", line):
            of_callee, number, name = found.groups()
            core = number if "/_core." in name else core
            inside = inside if of_callee else number == core
        elif line.startswith("calls="):
            called = True  # the next line costs what was called, which is counted where it stands
        elif found := re.match(r"[+*\-\d]\S* (\d+)$", line):
            if inside and not called:
                yield int(found[1])
            called = False


def markdown(found: dict[str, Any]) -> str:
    about, rows = found["about"], found["rows"]
    lines = [
        f"{about['cpu']}, {about['date']}, PyTorch {about['torch']}, Carousel {about['carousel']}, float32, one "
        "thread. Instructions of the core in one call, counted by valgrind, which knows no AVX-512: these are the "
        f"kernels for {about['variant']}. A column is a commit."
    ]
    for part, unit in (("lstm", "multiply-add"), ("function", "element")):
        lines += ["", *table(LINES[part], unit, [row for row in rows if row["part"] == part])]
    return "\n".join(lines) + "\n"


def table(title: str, unit: str, rows: list[dict[str, Any]]) -> list[str]:
    """With two commits, the last column is the second's share of the first."""
    commits = list(rows[0]["instructions"])
    heads = [title, "call", *(f"{c}, thousands" for c in commits), *(f"{c}, per {unit}" for c in commits)]
    lines = [heads + ["ratio"] * (len(commits) > 1)]
    for row in rows:
        numbers = list(row["instructions"].values())
        line = [row["name"], row["mode"], *(f"{n / 1e3:,.0f}" for n in numbers)]
        line += [f"{n / row['work']:.3f}" for n in numbers]
        lines.append(line + [f"{numbers[-1] / numbers[0]:.2f}"] * (len(commits) > 1))
    rule = ["---", "---"] + ["---:"] * (len(lines[0]) - 2)
    return ["| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])]


if __name__ == "__main__":
    main()
