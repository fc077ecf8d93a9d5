"""On-line learning against the appendix of the LSTM's paper, written out by hand, and the sizes of published nets."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

import carousel as ca
from carousel import cells
from carousel.graph import Cell

truncated = cells.lstm_1997.with_(truncate=True)


def logistic(a: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-a))


class Appendix:
    """One net of `blocks` blocks, every unit biased, that learns as the appendix of 1997 says.

    `hidden`: for the units i, o and c a matrix over (x, h, gates i, gates o, 1); `output` over (h, 1).
    """

    def __init__(self, hidden: dict[str, numpy.ndarray], output: numpy.ndarray, rate: float):
        self.hidden = {name: matrix.copy() for name, matrix in hidden.items()}
        self.output, self.rate = output.copy(), rate
        self.blocks, self.cells = len(hidden["i"]), len(hidden["c"])
        self.of = numpy.arange(self.cells) // (self.cells // self.blocks)
        self.reset()

    def reset(self) -> None:
        self.h, self.s = numpy.zeros(self.cells), numpy.zeros(self.cells)
        self.i, self.o = numpy.zeros(self.blocks), numpy.zeros(self.blocks)
        columns = self.hidden["c"].shape[1]
        self.ds_in, self.ds_c = numpy.zeros((self.cells, columns)), numpy.zeros((self.cells, columns))

    def step(self, x: numpy.ndarray, target: numpy.ndarray | None) -> numpy.ndarray:
        seen = numpy.concatenate([x, self.h, self.i, self.o, [1]])
        i, o, squashed = (logistic(self.hidden[name] @ seen) for name in "ioc")
        g, slope = 4 * squashed - 2, 4 * squashed * (1 - squashed)
        s = self.s + i[self.of] * g
        squashed_s = logistic(s)
        h = o[self.of] * (2 * squashed_s - 1)
        y = logistic(self.output @ numpy.append(h, 1))
        self.ds_c += numpy.outer(i[self.of] * slope, seen)
        self.ds_in += numpy.outer(g * (i * (1 - i))[self.of], seen)
        if target is not None:
            self.change(seen, i, o, squashed_s, h, (target - y) * y * (1 - y))
        self.h, self.s, self.i, self.o = h, s, i, o
        return y

    def change(self, seen, i, o, squashed_s, h, delta) -> None:
        of_h = self.output[:, :-1].T @ delta
        out = 2 * squashed_s - 1
        e_s = of_h * o[self.of] * 2 * squashed_s * (1 - squashed_s)
        delta_o = numpy.bincount(self.of, of_h * out) * o * (1 - o)
        into = numpy.zeros_like(self.hidden["i"])
        numpy.add.at(into, self.of, e_s[:, None] * self.ds_in)
        self.output += self.rate * numpy.outer(delta, numpy.append(h, 1))
        self.hidden["o"] += self.rate * numpy.outer(delta_o, seen)
        self.hidden["i"] += self.rate * into
        self.hidden["c"] += self.rate * e_s[:, None] * self.ds_c


def appendix_of(net: ca.Online, n: int, rate: float) -> Appendix:
    w = {name: value[n].numpy() for name, value in net.parameters.items()}
    hidden = {
        k: numpy.concatenate([w[f"W_{k}"], w[f"U_{k}"], w[f"R_i{k}"], w[f"R_o{k}"], w[f"b_{k}"][:, None]], 1)
        for k in "ioc"
    }
    return Appendix(hidden, numpy.concatenate([w["W_hy"], w["b_y"][:, None]], 1), rate)


def test_weights_change_as_in_the_appendix() -> None:
    T, N, rate = 60, 3, 0.5
    net = ca.Online(
        ca.readout(truncated.with_(biased="ioc")),
        **{"input_size": 3, "hidden_size": 4, "blocks": 2, "output_size": 2},
        **{"rule": ca.SGD(rate), "nets": N, "seed": 4},
    )
    by_hand = [appendix_of(net, n, rate) for n in range(N)]
    g = torch.Generator().manual_seed(1)
    x = torch.randn(T, N, 3, generator=g, dtype=torch.float64)
    targets = torch.rand(T, N, 2, generator=g, dtype=torch.float64)
    when, starts = torch.rand(T, N, generator=g) < 0.3, torch.rand(T, N, generator=g) < 0.1
    y = net.learn(x, targets, when=when, starts=starts)
    for n, own in enumerate(by_hand):
        for t in range(T):
            if starts[t, n]:
                own.reset()
            numpy.testing.assert_allclose(
                own.step(x[t, n].numpy(), targets[t, n].numpy() if when[t, n] else None), y[t, n].numpy(), rtol=1e-10
            )
        found = appendix_of(net, n, rate)
        numpy.testing.assert_allclose(found.output, own.output, rtol=1e-9, atol=1e-12)
        for name in "ioc":
            numpy.testing.assert_allclose(found.hidden[name], own.hidden[name], rtol=1e-9, atol=1e-12)


@ca.cell(widths={"s": "hidden_size"})
def input_gate_only(x, s, p):
    """The cell of experiment 2a: an input gate, no output gate, and nothing that recurs but the carousel."""
    s = s + ca.sigmoid(p.W_i @ x) * ca.sigmoid(p.W_c @ x)
    return s


@ca.cell(widths={"i": "blocks", "f": "blocks", "o": "blocks"})
def forget_gates(x, h, s, p):
    """The LSTM of 2000: gates biased, cells not; only cell outputs recur."""
    h = ca.stop_gradient(h)
    i = ca.sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = ca.sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    o = ca.sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    s = ca.expand(f, like=s) * s + ca.expand(i, like=s) * (4 * ca.sigmoid(p.W_c @ x + p.U_c @ h) - 2)
    h = ca.expand(o, like=s) * (2 * ca.sigmoid(s) - 1)
    return h, s


def sized(input_size: int, hidden_size: int, output_size: int, blocks: int | None = None) -> dict[str, int]:
    given = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size}
    return given if blocks is None else {**given, "blocks": blocks}


peepholes = cells.peephole_lstm.with_(into=ca.identity, out=ca.identity, truncate=True)
WEIGHTS = [  # net, sizes, how many weights the paper says
    (ca.readout(truncated, bias=False), sized(7, 4, 7, 4), 264),
    (ca.readout(truncated, bias=False), sized(7, 6, 7, 3), 276),
    (ca.readout(input_gate_only, sees=("s",), bias=False, direct=True), sized(101, 1, 101), 10504),
    (ca.readout(truncated.with_(biased=""), bias=False), sized(54, 2, 2, 2), 364),
    (ca.readout(truncated.with_(biased="ioc"), bias=False), sized(1, 3, 1, 3), 102),
    (ca.readout(truncated.with_(biased="ioc")), sized(2, 4, 1, 2), 93),
    (ca.readout(truncated.with_(biased="ioc")), sized(8, 4, 4, 2), 156),
    (ca.readout(truncated.with_(biased="ioc")), sized(8, 6, 8, 3), 308),
    (ca.readout(forget_gates, direct=True), sized(7, 8, 7, 4), 424),
    (ca.readout(peepholes), sized(1, 1, 1), 17),
]


@pytest.mark.parametrize("cell, sizes, weights", WEIGHTS, ids=lambda v: str(v) if isinstance(v, int) else "")
def test_published_nets_have_as_many_weights(cell: Cell, sizes: dict[str, int], weights: int) -> None:
    net = ca.Online(cell, **sizes, rule=ca.SGD(0.1), nets=2)
    learned = [value for name, value in net.parameters.items() if cell.fixed_value(name) is None]
    assert sum(math.prod(value.shape[1:]) for value in learned) == weights
