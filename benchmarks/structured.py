"""`python -m benchmarks.structured`: the convolutional and the multidimensional LSTM against Keras and plain loops.

All sides have the same weights and must agree, outputs and input gradients, before anything is timed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import carousel as ca
from benchmarks import agreement, results, timing
from benchmarks.rivals import Plain, Side


class Case(NamedTuple):
    """What is measured: sizes, and how to make its sides; `ours` is the side that the others are compared with."""

    name: str
    ours: str
    make: Callable[[], dict[str, Side]]


def side(call: Callable[[Tensor], Tensor], parameters: Any, x: Tensor, gradient: Tensor) -> Side:
    own = x.clone().requires_grad_()
    return Side(call, parameters, Plain(own, gradient))


# -- convolutional


def conv_case(T: int, B: int, C: int, H: int, space: int, kernel: int) -> Case:
    """Frames (T, B, C, space, space), H hidden channels."""
    name = f"ConvLSTM, T {T}, B {B}, {C} -> {H} channels, {space} x {space}, kernel {kernel} x {kernel}"
    return Case(name, "carousel.ConvLSTM", lambda: conv_sides(T, B, C, H, space, kernel))


def conv_sides(T: int, B: int, C: int, H: int, space: int, kernel: int) -> dict[str, Side]:
    torch.manual_seed(0)
    ours = ca.ConvLSTM(C, H, kernel, peepholes=None)
    params = {name.removesuffix("_l0"): p.detach() for name, p in ours.named_parameters()}
    W, U, b = (torch.cat([params[f"{letter}_{gate}"] for gate in "ifco"]) for letter in "WUb")
    x, gradient = torch.randn(T, B, C, space, space), torch.randn(T, B, H, space, space)
    joined, bias = torch.cat([W, U], 1).requires_grad_(), b.clone().requires_grad_()
    return {
        "carousel.ConvLSTM": side(lambda x: ours(x)[0], ours.parameters(), x, gradient),
        "Keras ConvLSTM2D": keras(W, U, b, x, gradient),
        "PyTorch loop": side(lambda x: conv_loop(x, joined, bias), [joined, bias], x, gradient),
    }


def keras(W: Tensor, U: Tensor, b: Tensor, x: Tensor, gradient: Tensor) -> Side:
    """Keras on the PyTorch backend, in its own layout: channels last."""
    os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported
    from keras import layers

    layer = layers.ConvLSTM2D(len(b) // 4, W.shape[-1], padding="same", return_sequences=True)
    layer.build((x.shape[1], len(x), *x.shape[3:], x.shape[2]))
    kernels = [kernel.movedim((1, 0), (-2, -1)) for kernel in (W, U)]
    layer.set_weights([value.numpy() for value in (*kernels, b)])
    weights = [variable.value for variable in layer.trainable_variables]
    return side(lambda x: layer(x.permute(1, 0, 3, 4, 2)).permute(1, 0, 4, 2, 3), weights, x, gradient)


def conv_loop(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """As one writes it: one convolution of input and state a step."""
    h = c = x.new_zeros(x.shape[1], len(bias) // 4, *x.shape[3:])
    ys = []
    for frame in x:
        i, f, g, o = F.conv2d(torch.cat([frame, h], 1), kernel, bias, padding="same").chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys)


# -- multidimensional


def mdlstm_case(B: int, D: int, H: int, space: int) -> Case:
    """Images (B, D, space, space), H hidden units, one direction."""
    name = f"MDLSTM, B {B}, {D} -> {H} units, {space} x {space}, one direction"
    return Case(name, "carousel.MDLSTM", lambda: mdlstm_sides(B, D, H, space))


def mdlstm_sides(B: int, D: int, H: int, space: int) -> dict[str, Side]:
    torch.manual_seed(0)
    ours = ca.MDLSTM(D, H, directions="one")
    x, gradient = torch.randn(B, D, space, space), torch.randn(B, H, space, space)
    gates = ("i", "f1", "f2", "c", "o")
    stacked = [torch.cat([getattr(ours, f"{letter}_{gate}") for gate in gates]) for letter in "WUb"]
    V = {gate: getattr(ours, f"V_{gate}") for gate in ("i", "f1", "f2", "o")}
    peepholes = [V["i"][:H], V["i"][H:], V["f1"], V["f2"], V["o"]]
    own = [p.detach().clone().requires_grad_() for p in (*stacked, *peepholes)]
    return {
        "carousel.MDLSTM": side(lambda x: ours(x), ours.parameters(), x, gradient),
        "PyTorch, diagonals": side(lambda x: by_diagonals(x, *own), own, x, gradient),
        "PyTorch, positions": side(lambda x: by_positions(x, *own), own, x, gradient),
    }


def md_step(net: Tensor, states: tuple[Tensor, ...], V: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Rows (N, 5 * H) of input products, and h and c of both predecessors; the new h and c."""
    U, (h_1, h_2, c_1, c_2) = V[0], states
    i, f_1, f_2, g, o = (net + torch.cat([h_1, h_2], -1) @ U.T).chunk(5, -1)
    c = torch.sigmoid(i + V[1] * c_1 + V[2] * c_2) * torch.tanh(g)
    c = c + torch.sigmoid(f_1 + V[3] * c_1) * c_1 + torch.sigmoid(f_2 + V[4] * c_2) * c_2
    return torch.sigmoid(o + V[5] * c) * torch.tanh(c), c


def by_positions(x: Tensor, W: Tensor, U: Tensor, b: Tensor, *V: Tensor) -> Tensor:
    """Position by position, the input projection before the loop."""
    net, zero = F.linear(x.permute(2, 3, 0, 1), W, b), x.new_zeros(len(x), U.shape[1] // 2)
    rows, above = [], [(zero, zero)] * x.shape[3]
    for line in net.unbind(0):
        here = [(zero, zero)]
        for one, (h, c) in zip(line.unbind(0), above, strict=True):
            here.append(md_step(one, (h, here[-1][0], c, here[-1][1]), (U, *V)))
        above = here[1:]
        rows.append(torch.stack([h for h, _ in above], -1))
    return torch.stack(rows, -2)


def by_diagonals(x: Tensor, W: Tensor, U: Tensor, b: Tensor, *V: Tensor) -> Tensor:
    """All positions of a diagonal at once: the image is skewed, so that diagonals are its columns."""
    B, _, Y, X = x.shape
    line = torch.arange(Y)[:, None]
    place = torch.arange(Y + X - 1) - line  # (Y, diagonals): which position of the line
    inside = (place >= 0) & (place < X)
    net = F.linear(x.permute(2, 3, 0, 1), W, b)[line, place.clamp(0, X - 1)]  # (Y, diagonals, B, 5 * H)
    h = c = x.new_zeros(Y, B, U.shape[1] // 2)
    ys = []
    for k, one in enumerate(net.unbind(1)):
        up = [F.pad(s[:-1], (0, 0, 0, 0, 1, 0)) for s in (h, c)]
        new = md_step(one, (up[0], h, up[1], c), (U, *V))
        h, c = (s * inside[:, k, None, None] for s in new)
        ys.append(h)
    y = torch.stack(ys, 1)[line, torch.arange(X) + line]  # (Y, X, B, H)
    return y.permute(2, 3, 0, 1)


CASES = [
    conv_case(10, 8, 16, 64, 16, 3),
    conv_case(10, 8, 16, 64, 16, 5),
    conv_case(10, 8, 1, 32, 32, 3),
    mdlstm_case(8, 16, 64, 16),
    mdlstm_case(1, 3, 16, 32),
    mdlstm_case(16, 64, 128, 16),
]
QUICK = [conv_case(3, 2, 2, 4, 5, 3), mdlstm_case(2, 3, 4, 5)]


def measure(case: Case, seconds: float) -> list[dict[str, Any]]:
    """One row a mode and side: milliseconds, and times that of our side."""
    sides = case.make()
    check(case, sides)
    rows = []
    for mode in timing.MODES:
        times = timing.race(sides, mode, seconds)
        for name, taken in times.items():
            row = {"case": case.name, "mode": mode, "side": name, "ms": 1e3 * taken, "ratio": taken / times[case.ours]}
            rows.append(row)
            print(f"{case.name}, {mode}: {name} {row['ms']:.3g} ms, {row['ratio']:.2f} of ours", flush=True)
    return rows


def check(case: Case, sides: dict[str, Side]) -> None:
    """Raises `Disagreement` unless all sides give our outputs and input gradients."""
    found = {name: one.training() for name, one in sides.items()}
    for name, values in found.items():
        for got, want in zip(values, found[case.ours], strict=True):
            error, size = (got - want).abs().max().item(), want.abs().max().item()
            if not error <= 1e-4 * (1 + size):
                raise timing.Disagreement(f"{name} at {case.name} is off by {error:.2g}; nothing is reported")


def markdown(found: dict[str, Any]) -> str:
    facts = found["about"]
    lines = [
        f"{facts['cpu']}, {facts['date']}, PyTorch {facts['torch']}, Carousel {facts['carousel']} "
        f"({facts['variant']}), float32, {facts['threads'][0]} thread(s). Medians of interleaved rounds; in "
        "brackets the time over ours.",
        "",
        "| | side | forward, ms | forward and backward, ms |",
        "|---|---|---:|---:|",
    ]
    cells = {(row["case"], row["side"], row["mode"]): row for row in found["rows"]}
    for case, name in dict.fromkeys((row["case"], row["side"]) for row in found["rows"]):
        pair = [cells[case, name, mode] for mode in timing.MODES]
        lines.append(f"| {case} | {name} | " + " | ".join(f"{r['ms']:.3g} ({r['ratio']:.2f})" for r in pair) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.structured", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny, short: does it run at all")
    parser.add_argument("--threads", type=int, default=len(timing.PROCESSORS))
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case and mode")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    agreement.tests(options.quick)
    timing.use_threads(options.threads)
    seconds = 0.05 if options.quick else options.seconds
    try:
        rows = [row for case in (QUICK if options.quick else CASES) for row in measure(case, seconds)]
    except timing.Disagreement as error:
        raise SystemExit(f"benchmarks: {error}") from None
    facts = results.about() | {"threads": [options.threads]}
    if options.json or not options.quick:  # a quick run is kept only where it is told to
        results.write(options.json or results.target(facts, "structured"), {"about": facts, "rows": rows}, markdown)


if __name__ == "__main__":
    main()
