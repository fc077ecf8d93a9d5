"""Whether sides compute the same: the tests of equality, and every side against the Python loop on the data timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks import loops
from benchmarks.grid import Data, Shape, draw
from benchmarks.rivals import RIVALS, Side, torch_lstm
from benchmarks.timing import Disagreement

ROOT = Path(__file__).parents[1]
CORE = ("tests/test_core_lstm.py", "tests/test_core_math.py", "tests/test_lstm_equality.py")
ENGINES = (
    *CORE,
    "tests/test_core_calls.py",
    "tests/test_core_random.py",
    "tests/test_engine_native.py",
    "tests/test_random_equations.py",
    "tests/test_registry.py",
)
ASKED = "not registry or says_the_same or equals_the_reference"  # of the registry: its oracles and its engines


def tests(quick: bool) -> None:
    """Runs the tests that say that engines, core and oracles agree, and stops the program where one is red."""
    chosen = [path for path in (CORE if quick else ENGINES) if (ROOT / path).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen, "-k", ASKED]
    print("the tests of equality: " + " ".join(chosen), flush=True)
    require(subprocess.run(command, cwd=ROOT).returncode)


def require(status: int) -> None:
    if status:
        raise SystemExit("benchmarks: the tests of equality above are red, so nothing is measured; make them pass")


class Reference:
    """What sides have to give: the Python loop in the data's dtype, run once for each cell."""

    def __init__(self, shape: Shape, data: Data, weights: list[loops.Weights]):
        self.shape, self.data, self.weights = shape, data, weights
        self.known: dict[tuple[str, bool], tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, cell: str, resets: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The output and the gradient of the input."""
        key = (cell, resets)
        if key not in self.known:
            data, keep = self.data, self.data.resets if resets else None
            masks = loops.masks(self.shape.T, data.lengths, keep, data.x.dtype)
            weights = [w if cell == "peephole" else w._replace(V=torch.zeros_like(w.V)) for w in self.weights]
            y = loops.stacked(lambda x, w: loops.python_loop(x, *w, *masks), data.x, weights, self.shape, torch.cat)
            (dx,) = torch.autograd.grad(y, data.x, data.gradient)
            self.known[key] = y.detach(), dx
        return self.known[key]


def check(name: str, side: Any, reference: Reference) -> None:
    """Raises `Disagreement` unless output and input gradient are the reference's, to a share of the largest number."""
    rival = RIVALS[name]
    want_y, want_dx = reference(rival.cell, rival.resets)
    tolerance = rival.tolerance * (1e-6 if want_y.dtype == torch.float64 else 1)
    y, dx = side.training()
    for what, got, want in (("y", side.forward(), want_y), ("y in training", y, want_y), ("dx", dx, want_dx)):
        got = got.detach() if isinstance(got, torch.Tensor) else torch.tensor(numpy.asarray(got))
        error = (got - want).abs().max().item()
        if not error <= tolerance * (1 + want.abs().max().item()):
            raise Disagreement(f"{name} at {reference.shape.name}: {what} is off by {error:.2g}; nothing is reported")


def make(shape: Shape, names: list[str], seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Fresh, checked sides on the same data and weights."""
    data, weights = draw(shape, seed, dtype), loops.draw_weights(shape, seed, dtype)
    sides = {name: RIVALS[name].make(shape, data, weights) for name in names}
    reference = Reference(shape, data, weights)
    for name, side in sides.items():
        if RIVALS[name].cell:
            check(name, side, reference)
    return sides


def errors(shape: Shape, names: list[str], seed: int = 0) -> dict[str, dict[str, float]]:
    """Of sides with the parameters of `torch.nn.LSTM`, by mode: the error against that layer in float64, as a share of
    the norm. In training it is the largest of those of the output, the input gradient and the parameters' gradients."""
    data, weights = draw(shape, seed), loops.draw_weights(shape, seed)
    exact = [loops.Weights(*(tensor.double() for tensor in own)) for own in weights]
    double = data._replace(x=data.x.detach().double().requires_grad_(), gradient=data.gradient.double())
    want = results(torch_lstm(shape, double, exact))
    found = {}
    for name in names:
        shares = [
            ((got - true).norm() / true.norm()).item()
            for got, true in zip(results(RIVALS[name].make(shape, data, weights)), want, strict=True)
        ]
        found[name] = {"forward": shares[0], "training": max(shares)}
    return found


def results(side: Side) -> list[torch.Tensor]:
    """The output, and the gradients of every parameter and of the input."""
    y, _ = side.training()
    return [y.detach().double(), *(p.grad.double() for p in side.parameters if p.grad is not None)]
