"""Cells with other options than their own are tested as the registered ones are; options that make no cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
import torchrecurrent

import test_registry as registry
from carousel import cells, exp, identity, relu, sigmoid, tanh
from carousel.cells import Entry
from oracles import (
    authors_xlstm,
    onnx_operators,
    scipy_signal,
    torch_lstm_cell,
    torch_lstm_sums,
    torch_nn,
    torch_recurrent,
    torch_recurrent_settings,
    torch_rnn_cell,
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


def asked(name: str, oracle: Oracle, **options: object) -> Option:
    """A cell and an oracle that have the same options."""
    return Option(name, options, partial(oracle, **options))


PRECISE = {"into": identity, "out": identity}
BLOCKS = ("h", "i", "o")
OPTIONS = [
    asked("jordan", torch_rnn_cell.jordan, mu=0.0),
    Option("jordan", {"f": relu, "out": sigmoid}, partial(torch_rnn_cell.jordan, f="relu", out=torch.sigmoid)),
    Option("context_unit", {"f": sigmoid}, scipy_signal.context_unit(torch.sigmoid)),
    Option("elman", {"f": relu}, partial(torch_nn.elman, nonlinearity="relu")),
    Option("lstm_1997", {"biased": ""}, torch_lstm_cell.lstm_1997()),
    Option("lstm_1997", {"biased": "ioc"}, torch_lstm_cell.lstm_1997()),
    Option("lstm_1997", {"truncate": True}, torch_lstm_cell.lstm_1997(truncate=True), BLOCKS),
    Option("lstm_1997", {"truncate": True, "biased": "ioc"}, torch_lstm_cell.lstm_1997(truncate=True), BLOCKS),
    Option("peephole_lstm", {"out": identity}, onnx_operators.asked(h=onnx_operators.identity)),
    Option("peephole_lstm", PRECISE, onnx_operators.asked(g=onnx_operators.identity, h=onnx_operators.identity)),
    Option("peephole_lstm", {"truncate": True}, torch_lstm_cell.peephole_lstm_truncated),
    Option("peephole_lstm_c", {"out": identity}, torch_lstm_cell.peephole_lstm_c_linear),
    asked("leaky_rnn", torch_recurrent.leaky_rnn, alpha=0.9),
    Option("leaky_rnn", {"f": relu}, partial(torch_recurrent.leaky_rnn, f="relu")),
    Option("mdlstm", {"axes": 1}, torch_lstm_sums.mdlstm),
    Option("mdlstm", {"axes": 3}, torch_lstm_sums.mdlstm),
    Option("lstmp", {"nonrecurrent": False}, onnx_operators.lstmp),
    asked("scrn", torch_recurrent_settings.scrn, alpha=0.7),
    asked("clockwork_rnn", torch_rnn_cell.clockwork_rnn, periods=(1, 3)),
    asked("clockwork_rnn", torch_rnn_cell.clockwork_rnn, periods=(1, 2, 2, 5)),
    Option("t_gru", {"tau": relu}, partial(torch_recurrent_settings.t_gru, tau="relu")),
    Option("t_lstm", {"tau": relu}, partial(torch_recurrent_settings.t_lstm, tau="relu")),
    asked("layer_norm_lstm", torch_lstm_sums.layer_norm_lstm, eps=0.1),
    asked("phased_lstm", torch_lstm_cell.phased_lstm, leak=0.0),
    Option("ugrnn", {"s": relu}, torch_recurrent.gated(torchrecurrent.LiGRUCell, "gc", "gc")),
    asked("time_aware_lstm", torch_lstm_cell.time_aware_lstm, g=fading),
    Option("qrnn", {"pooling": "f"}, torch_nn.qrnn),
    Option("qrnn", {"pooling": "ifo"}, torch_lstm_cell.qrnn_ifo),
    Option("recurrent_highway", {"depth": 1}, torch_lstm_sums.recurrent_highway),
    Option("recurrent_highway", {"coupled": False}, torch_lstm_sums.recurrent_highway),
    Option("recurrent_highway", {"depth": 2, "coupled": False}, torch_lstm_sums.recurrent_highway),
    asked("janet", torch_recurrent.janet, beta=0.0),
    Option("fast_rnn", {"f": relu}, partial(torch_recurrent.fast_rnn, f="relu")),
    Option("indrnn", {"f": tanh}, partial(torch_recurrent.indrnn, nonlinearity="tanh")),
    asked("antisymmetric_rnn", torch_recurrent.antisymmetric, eps=0.5, gamma=0.3),
    asked("gated_antisymmetric_rnn", torch_recurrent.antisymmetric, eps=0.5, gamma=0.3),
    Option("mogrifier_lstm", {"rounds": 0}, torch_nn.lstm),
    Option("mogrifier_lstm", {"rounds": 2}, torch_lstm_cell.mogrifier_lstm),
    asked("cornn", torch_recurrent.cornn, dt=0.3, gamma=1.7, eps=0.6),
    Option("slim_lstm", {"gates": "h"}, torch_nn.slim_lstm),
    Option("slim_lstm", {"gates": "b"}, torch_nn.slim_lstm),
    asked("lipschitz_rnn", torch_rnn_cell.lipschitz_rnn, eps=0.5, beta=0.6, gamma=0.3),
    asked("unicornn", torch_recurrent.unicornn, dt=0.7, alpha=2.5),
    asked("lem", torch_recurrent_settings.lem, dt=0.4),
    asked("tau_gru", torch_recurrent_settings.tau_gru, delay=1),
    asked("tau_gru", torch_recurrent_settings.tau_gru, delay=3),
    Option("slstm", {"heads": 1}, authors_xlstm.slstm),
    Option("slstm", {"heads": 2}, authors_xlstm.slstm),
    asked("rg_lru", torch_recurrent_settings.rg_lru, c=4.0),
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


@every_engine
def test_a_clockwork_none_of_whose_modules_always_ticks(engine: str) -> None:
    """Some steps of x are not read, and get no gradient."""
    option = asked("clockwork_rnn", torch_rnn_cell.clockwork_rnn, periods=(2, 2, 5))
    registry.agrees(option.entry, engine, option.oracle)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lstm_1997", {"biased": "if"}, "biased is 'if', expected letters of \"ioc\""),
        ("mdlstm", {"axes": 0}, "axes is 0, expected a whole number, at least 1"),
        ("clockwork_rnn", {"periods": (4, 1)}, r"periods is \(4, 1\), expected whole numbers from 1 on in rising"),
        ("clockwork_rnn", {"periods": ()}, r"periods is \(\), expected"),
        ("qrnn", {"pooling": "of"}, 'pooling is \'of\', expected "f", "fo" or "ifo"'),
        ("recurrent_highway", {"depth": 0}, "depth is 0, expected a whole number, at least 1"),
        ("mogrifier_lstm", {"rounds": -1}, "rounds is -1, expected a whole number, at least 0"),
        ("mogrifier_lstm", {"rounds": 2.5}, "rounds is 2.5, expected a whole number"),
        ("tau_gru", {"delay": 0}, "delay is 0, expected a whole number, at least 1"),
        ("slstm", {"forget": "tanh"}, 'forget is .tanh., expected "sigmoid" or "exp"'),
    ],
)
def test_options_that_make_no_cell(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells.get(name).with_(**options)
