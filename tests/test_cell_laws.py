"""What papers say of their cells: settings in which one is another, closed forms, options and starts."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.signal
import torch
from torch import Tensor

import carousel as ca
from carousel import cells
from oracles import torch_nn
from runs import ENGINES
from tolerances import assert_close

T, B, D, H = 6, 3, 5, 4
every_engine = pytest.mark.parametrize("engine", ENGINES)


def layer_of(cell: ca.Cell, engine: str, **changes: float) -> ca.Recurrent:
    """A layer in float64 with larger weights than at the start; `changes` sets parameters by name."""
    torch.manual_seed(1)
    layer = ca.Recurrent(cell, D, H, engine=engine, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.normal_(std=0.7)
            if name.removesuffix("_l0") in changes:
                parameter.fill_(changes[name.removesuffix("_l0")])
    return layer


def data(states: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(2)
    tensors = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in [(T, B, D)] + states * [(1, B, H)]]
    return tensors[0], tuple(tensors[1:])


def weights_of(layer: ca.Recurrent) -> dict[str, Tensor]:
    return {name.removesuffix("_l0"): parameter for name, parameter in layer.named_parameters()}


def average(keep: Tensor, new: Tensor, h: Tensor) -> Tensor:
    """h_t = keep_t * h_{t-1} + new_t from products and sums over time, with no recurrence; all (T, B, H)."""
    kept = keep.cumprod(0)
    return kept * (h + (new / kept).cumsum(0))


# -- the phased LSTM


@every_engine
def test_a_phased_lstm_at_the_peak_of_its_gate_is_the_lstm(engine: str) -> None:
    layer = layer_of(cells.phased_lstm, engine, log_tau=math.log(8), r_on=0.25, s=3.0)
    x, (h, c) = data(2)
    time = 3.0 + 8.0 * torch.arange(T, dtype=torch.float64)[:, None, None].expand(T, B, 1) + 1.0
    y, final = layer(x, (h, c), time=time)
    want, (h_n, c_n) = torch_nn.lstm(weights_of(layer), x, (h[0], c[0]))
    assert_close(y, want)
    assert_close(final[0][0], h_n)
    assert_close(final[1][0], c_n)


@every_engine
def test_a_phased_lstm_whose_gate_is_shut_keeps_its_state(engine: str) -> None:
    layer = layer_of(cells.phased_lstm.with_(leak=0.0), engine, log_tau=math.log(8), r_on=0.25, s=3.0)
    x, hx = data(2)
    _, final = layer(x, hx, time=torch.full((T, B, 1), 3.0 + 5.0, dtype=torch.float64))
    assert_close(final, hx)


def test_a_phased_lstm_starts_as_its_authors_have_it() -> None:
    layer = ca.Recurrent(cells.phased_lstm, 2, 1000)
    tau, s = layer.log_tau_l0.exp(), layer.s_l0
    assert math.e <= tau.min() < 3 and 19 < tau.max() <= math.e**3
    assert 0 <= s.min() < 1 and 99 < s.max() <= 100
    assert (layer.r_on_l0 == 0.05).all()


# -- recurrences that are linear in the state: sums over time


@every_engine
def test_the_minimal_cells_are_weighted_sums_of_what_they_are_given(engine: str) -> None:
    x, (h,) = data(1)
    for cell, names in ((cells.min_gru, "zn"), (cells.min_lstm, "fin")):
        y, _, seen = layer_of(cell, engine)(x, (h,), record=tuple(names))
        gates = {name: value[0] for name, value in seen.items()}
        share = gates["z"] if "z" in gates else gates["i"] / (gates["i"] + gates["f"])
        assert_close(y, average(1 - share, share * gates["n"], h))


@every_engine
def test_a_minimal_lstm_whose_gates_sum_to_one_is_the_minimal_gru(engine: str) -> None:
    x, hx = data(1)
    lstm, gru = layer_of(cells.min_lstm, engine), layer_of(cells.min_gru, engine)
    given, taken = weights_of(lstm), weights_of(gru)
    with torch.no_grad():
        for letter in "Wb":
            given[f"{letter}_i"].copy_(taken[f"{letter}_z"])
            given[f"{letter}_f"].copy_(-taken[f"{letter}_z"])
            given[f"{letter}_h"].copy_(taken[f"{letter}_h"])
    assert_close(lstm(x, hx)[0], gru(x, hx)[0])


@every_engine
def test_sums_that_gates_alone_weigh(engine: str) -> None:
    """RAN with the identity, SRU whose gates do not see c, QRNN, T-RNN."""
    x, (h, c) = data(2)
    y, _, seen = layer_of(cells.ran.with_(out=ca.identity), engine)(x, (h, c), record=("i", "f", "g"))
    assert_close(y, average(seen["f"][0], seen["i"][0] * seen["g"][0], c))
    layer = layer_of(cells.sru, engine, v_f=0.0, v_r=0.0)
    _, _, seen = layer(x, (c,), record=("f", "c"))
    assert_close(seen["c"][0], average(seen["f"][0], (1 - seen["f"][0]) * (x @ layer.W_l0.T), c))
    _, _, seen = layer_of(cells.qrnn, engine)(x, (c,), record=("f", "z", "c"))
    assert_close(seen["c"][0], average(seen["f"][0], (1 - seen["f"][0]) * seen["z"][0], c))
    y, _, seen = layer_of(cells.t_rnn, engine)(x, (h,), record=("f", "z"))
    assert_close(y, average(seen["f"][0], (1 - seen["f"][0]) * seen["z"][0], h))


@every_engine
def test_a_linear_indrnn_is_a_filter_for_each_unit(engine: str) -> None:
    layer = layer_of(cells.indrnn.with_(f=ca.identity), engine)
    x, _ = data(1)
    y, _ = layer(x)
    given = (x @ layer.W_l0.T + layer.b_l0).detach().numpy()
    want = [scipy.signal.lfilter([1.0], [1.0, -u], given[..., k], axis=0) for k, u in enumerate(layer.u_l0.tolist())]
    assert_close(y, torch.from_numpy(numpy.stack(want, -1)))


def test_an_indrnn_starts_with_memories_of_every_length() -> None:
    u = ca.Recurrent(cells.indrnn, 2, 1000).u_l0
    assert 0 <= u.min() < 0.01 and 0.99 < u.max() <= 1


# -- others


def test_a_pooling_that_there_is_not() -> None:
    with pytest.raises(ValueError, match='pooling is \'of\', expected "f", "fo" or "ifo"'):
        cells.qrnn.with_(pooling="of")


@every_engine
def test_a_chaos_free_network_comes_to_rest(engine: str) -> None:
    """Without input, each unit is at most tanh of what it was."""
    layer = layer_of(cells.cfn, engine)
    _, (h,) = data(1)
    y, _ = layer(torch.zeros(200, B, D, dtype=torch.float64), (h,))
    before = torch.cat([h, y[:-1]])
    assert (y.abs() <= before.abs().tanh()).all()
    assert y[-1].abs().max() < 0.1


def test_janet_starts_by_the_longest_distance_if_told() -> None:
    """As its page says."""
    layer = ca.Recurrent(cells.janet, 2, 1000, init={"b_f": lambda b: b.uniform_(1, 784 - 1).log_()})
    assert 0 <= layer.b_f_l0.min() and 6.6 < layer.b_f_l0.max() <= math.log(783)
    assert layer(torch.zeros(3, 1, 2))[0].isfinite().all()
