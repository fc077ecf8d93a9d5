"""Laws of the LSTM of 1997: the traces of its appendix, its error carousel, and what Mozer's units have of it."""

from __future__ import annotations

import numpy
import pytest
import torch
import torchrecurrent
from torch import Tensor

from carousel import cells, engines, sigmoid
from carousel.graph import Cell
from oracles.torch_recurrent import gated
from runs import ENGINES, Call, close, gradients, make_call

every_engine = pytest.mark.parametrize("engine", ENGINES)


def scanned(engine: str, cell: Cell, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
    run = engines.PREFERENCE[engine].scan
    y, final, _ = run(
        cell, call.sizes, call.x, call.hx, call.params, sides={}, lengths=None, resets=None, initial=call.initial
    )
    return y, final


def logistic(a: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-a))


def appendix(weights: dict[str, numpy.ndarray], x: numpy.ndarray, start: list, errors: numpy.ndarray, size: int):
    """Gradients of one row by the paper's appendix: forwards in time, one trace of s for each weight.

    `weights` has for i, o and c a matrix over (x, h, gates i, gates o, 1); x (T, D); `errors` (T, H) is what reaches h.
    """
    h, s, i, o = start
    of_cell = numpy.arange(len(h)) // size  # the block of each cell
    seen = numpy.concatenate([x[0], h, i, o, [1]])
    ds_in, ds_c = (numpy.zeros((len(h), len(seen))) for _ in range(2))
    found = {name: numpy.zeros_like(matrix) for name, matrix in weights.items()}
    for x_t, e in zip(x, errors, strict=True):
        seen = numpy.concatenate([x_t, h, i, o, [1]])
        i, o, squashed = (logistic(weights[name] @ seen) for name in "ioc")
        g, slope = 4 * squashed - 2, 4 * squashed * (1 - squashed)
        s = s + i[of_cell] * g
        ds_c += numpy.outer(i[of_cell] * slope, seen)
        ds_in += numpy.outer(g * (i * (1 - i))[of_cell], seen)
        out = 2 * logistic(s) - 1
        e_s = e * o[of_cell] * 2 * logistic(s) * (1 - logistic(s))
        numpy.add.at(found["o"], of_cell, numpy.outer(e * out * (o * (1 - o))[of_cell], seen))
        numpy.add.at(found["i"], of_cell, e_s[:, None] * ds_in)
        found["c"] += e_s[:, None] * ds_c
        h = o[of_cell] * out
    return found


def joined(of: dict[str, Tensor], gate: str) -> numpy.ndarray:
    """A gate's weights over (x, h, gates i, gates o, 1) in one matrix, or their gradients."""
    columns = [of[f"{letter}{gate}"] for letter in ("W_", "U_", "R_i", "R_o")]
    return torch.cat([*columns, of[f"b_{gate}"][:, None]], 1).detach().numpy()


@every_engine
def test_the_truncated_gradient_is_that_of_the_appendix(engine: str) -> None:
    cell = cells.lstm_1997.with_(truncate=True, biased="ioc")
    call = make_call(cell, {"input_size": 3, "hidden_size": 6, "blocks": 3}, 9, 2)
    y, _ = scanned(engine, cell, call)
    errors = torch.randn_like(y)
    gradients = torch.autograd.grad((y * errors).sum(), list(call.params.values()))
    got = dict(zip(call.params, gradients, strict=True))
    weights = {gate: joined(call.params, gate) for gate in "ioc"}
    rows = [
        appendix(
            weights, call.x[:, b].detach().numpy(), [v[b].detach().numpy() for v in call.hx], errors[:, b].numpy(), 2
        )
        for b in range(2)
    ]
    for gate in "ioc":
        numpy.testing.assert_allclose(joined(got, gate), sum(row[gate] for row in rows), rtol=1e-8, atol=1e-10)


@every_engine
def test_of_one_cell_a_block_and_alone_it_is_torchrecurrents(engine: str) -> None:
    """Gates that see no gates; torchrecurrent squashes with tanh, of which a and s hold twice the argument."""
    cell = cells.lstm_1997.with_(biased="ioc")
    call = make_call(cell, {"input_size": 3, "hidden_size": 4, "blocks": 4}, 6, 2, frozen=("initial",))
    for name, value in call.params.items():
        if name.startswith("R"):
            value.detach().zero_()
    params = {name: value / 2 if name.endswith("c") else value for name, value in call.params.items()}
    h, s = call.hx[:2]
    y, (h, half) = gated(torchrecurrent.OriginalLSTMCell, "ico", "ico")(params, call.x, (h, s / 2))
    found, final = scanned(engine, cell, call)
    want = {"y": y, "h": h, "s": 2 * half}
    got = {"y": found, "h": final[0], "s": final[1]}
    of_gates = {f"d p.{name}" for name in call.params if name.startswith("R")} | {"d hx[2]", "d hx[3]"}
    close(
        got | gradients(got, call),
        {**want, **{k: v for k, v in gradients(want, call).items() if k not in of_gates}},
        "lstm_1997 against torchrecurrent",
    )


@every_engine
def test_the_error_carousel_turns_without_loss(engine: str) -> None:
    """However long ago, the derivative of s with respect to itself is 1."""
    cell = cells.lstm_1997.with_(truncate=True)
    call = make_call(cell, {"input_size": 2, "hidden_size": 4, "blocks": 2}, 300, 1)
    _, (_, s, _, _) = scanned(engine, cell, call)
    (gradient,) = torch.autograd.grad(s.sum(), call.hx[1])
    assert (gradient == 1).all()


@every_engine
def test_mozers_unit_without_decay_is_the_carousel_with_open_gates(engine: str) -> None:
    def g(a: Tensor) -> Tensor:
        return 4 * sigmoid(a) - 2

    unit, full = cells.context_unit.with_(f=g), cells.lstm_1997.with_(biased="ioc")
    call = make_call(full, {"input_size": 3, "hidden_size": 4, "blocks": 2}, 20, 2)
    call.params |= {name: torch.zeros_like(p) for name, p in call.params.items() if name[0] in "UR"}
    call.params |= {"W_i": torch.zeros(2, 3, dtype=torch.float64), "b_i": torch.full((2,), 50.0, dtype=torch.float64)}
    _, (_, s, _, _) = scanned(engine, full, call)
    other = make_call(unit, {"input_size": 3, "hidden_size": 4}, 20, 2)
    other.x, other.hx = call.x, (call.hx[1],)
    other.params = {"d": torch.ones(4, dtype=torch.float64), "W": call.params["W_c"], "b": call.params["b_c"]}
    _, (c,) = scanned(engine, unit, other)
    torch.testing.assert_close(c, s)
