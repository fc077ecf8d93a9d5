"""Cells with other options than their own are tested as the registered ones are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch

import test_registry as registry
from carousel import cells, exp, identity, relu, sigmoid, tanh
from carousel.cells import Entry
from oracles import (
    authors_xlstm,
    onnx_operators,
    scipy_signal,
    torch_cells,
    torch_nn,
    torch_nn_settings,
    torch_parts,
    torch_recurrent,
)
from oracles.common import Oracle
from runs import ENGINES, close, make_call


@dataclass(frozen=True)
class Option:
    """A registered cell with options, and who is asked; `stopped` as in a registry entry."""

    name: str
    options: dict[str, object]
    oracle: Oracle
    stopped: tuple[str, ...] = ()

    @property
    def entry(self) -> Entry:
        registered = cells.entry(self.name)
        return Entry(registered.cell.with_(**self.options), registered.year, stopped_gradients=self.stopped)

    def __str__(self) -> str:
        return f"{self.name}-" + "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in self.options.items())


def fading(dt: Any) -> Any:
    """A user's own g, the same on traced values and on tensors."""
    return exp(-dt)


PRECISE = {"into": identity, "out": identity}
OPTIONS = [
    Option("elman", {"f": relu}, partial(torch_nn.elman, nonlinearity="relu")),
    Option("context_unit", {"f": sigmoid}, scipy_signal.context_unit(torch.sigmoid)),
    Option("peephole_lstm", {"out": identity}, onnx_operators.asked(h=onnx_operators.identity)),
    Option("peephole_lstm", PRECISE, onnx_operators.asked(g=onnx_operators.identity, h=onnx_operators.identity)),
    Option("peephole_lstm", {"truncate": True}, torch_cells.peephole_lstm_truncated),
    Option("peephole_lstm_c", {"out": identity}, torch_cells.peephole_lstm_c_linear),
    Option("lstm_1997", {"biased": ""}, torch_cells.lstm_1997()),
    Option("lstm_1997", {"biased": "ioc"}, torch_cells.lstm_1997()),
    Option("lstm_1997", {"truncate": True}, torch_cells.lstm_1997(truncate=True), ("h", "i", "o")),
    Option("lstm_1997", {"truncate": True, "biased": "ioc"}, torch_cells.lstm_1997(truncate=True), ("h", "i", "o")),
    Option("jordan", {"f": relu, "mu": 0.0}, partial(torch_parts.jordan, f="relu", mu=0.0)),
    Option("jordan", {"out": sigmoid}, partial(torch_parts.jordan, out=torch.sigmoid)),
    Option("t_gru", {"tau": relu}, partial(torch_recurrent.t_gru, tau="relu")),
    Option("t_lstm", {"tau": relu}, partial(torch_recurrent.t_lstm, tau="relu")),
    Option("phased_lstm", {"leak": 0.0}, partial(torch_parts.phased_lstm, leak=0.0)),
    Option("qrnn", {"pooling": "f"}, torch_parts.qrnn),
    Option("qrnn", {"pooling": "ifo"}, torch_parts.qrnn),
    Option("indrnn", {"f": tanh}, partial(torch_recurrent.indrnn, nonlinearity="tanh")),
    Option("janet", {"beta": 0.0}, partial(torch_recurrent.janet, beta=0.0)),
    Option("mogrifier_lstm", {"rounds": 0}, torch_nn.lstm),
    Option("mogrifier_lstm", {"rounds": 2}, torch_parts.mogrifier_lstm),
    Option("lstmp", {"nonrecurrent": False}, onnx_operators.lstmp),
    Option("layer_norm_lstm", {"eps": 0.1}, partial(torch_nn_settings.layer_norm_lstm, eps=0.1)),
    Option("time_aware_lstm", {"g": fading}, partial(torch_nn_settings.time_aware_lstm, g=fading)),
    Option("slstm", {"heads": 1}, authors_xlstm.slstm),
    Option("slstm", {"heads": 2}, authors_xlstm.slstm),
    Option("rg_lru", {"c": 4.0}, partial(torch_recurrent.rg_lru, c=4.0)),
]

every_option = pytest.mark.parametrize("option", OPTIONS, ids=str)
every_engine = pytest.mark.parametrize("engine", ENGINES)


@every_engine
@every_option
def test_the_oracle_says_the_same(option: Option, engine: str) -> None:
    registry.agrees(option.entry, engine, option.oracle)


@every_engine
@every_option
def test_gradients(option: Option, engine: str) -> None:
    registry.test_every_parameter_and_state_gets_a_gradient(option.entry, engine)
    if not registry.stops(option.entry):
        registry.test_gradients_are_finite_differences(option.entry, engine, False)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@every_engine
@every_option
def test_every_engine_equals_the_reference(option: Option, engine: str, reverse: bool) -> None:
    registry.test_every_engine_equals_the_reference(option.entry, engine, reverse, True, torch.float64)


@every_engine
def test_the_peephole_cell_of_2002(engine: str) -> None:
    """Stopping gradients changes no values; each of its options has an oracle for its gradient above."""
    registered = cells.entry("peephole_lstm")
    entry = Entry(registered.cell.with_(**PRECISE, truncate=True), registered.year)
    call = make_call(entry.cell, registry.sizes(entry), 5, 3)
    oracle = onnx_operators.asked(g=onnx_operators.identity, h=onnx_operators.identity)
    want = registry.by_name(entry, (*oracle(call.params, call.x, call.hx), {}))
    close(registry.plain_scan(engine, entry, call), want, "peephole_lstm of 2002")
    registry.test_every_engine_equals_the_reference(entry, engine, False, True, torch.float64)
