"""Settings in which one cell is another."""

from __future__ import annotations

import math

import pytest
import torch
import torchrecurrent
from torch import Tensor, nn

from carousel import cells, sigmoid
from carousel.cells.time_aware_lstm import reciprocal
from carousel.graph import Cell
from cell_calls import B, T, by_name, call_of, data, layer_of, outputs, run, weights_of, zero
from oracles import torch_nn
from oracles.common import Found, Oracle
from oracles.torch_recurrent import run_cell
from runs import ENGINES, Call, close, gradients, make_call
from tolerances import assert_close

every_engine = pytest.mark.parametrize("engine", ENGINES)
SIZES = {"input_size": 3, "hidden_size": 4}


def of_torch(call: Call) -> dict[str, Tensor]:
    """torch.nn.LSTM on the call's parameters, and gradients."""
    projection = {"W_hr": call.params["W_rm"]} if "W_rm" in call.params else {}
    y, final = torch_nn.lstm({**call.params, **projection}, call.x, call.hx)
    found = {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}
    return found | gradients(found, call)


def agree(cell: Cell, oracle: Oracle, engine: str) -> None:
    call = call_of(cell)
    found, want = outputs(engine, cell, call), by_name(*oracle(call.params, call.x, call.hx))
    close(found | gradients(found, call), want | gradients(want, call), cell.name)


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
def test_lstmp_without_peepholes_is_pytorchs_projected_lstm(engine: str) -> None:
    cell = cells.lstmp.with_(nonrecurrent=False)
    call = make_call(cell, {**SIZES, "proj_size": 2}, 5, 3, frozen=("initial",))
    zero(call, "V_i", "V_f", "V_o")
    of_peepholes = {f"d p.V_{gate}" for gate in "ifo"}
    close(run(engine, cell, call), {k: v for k, v in of_torch(call).items() if k not in of_peepholes}, "lstmp")


@every_engine
@pytest.mark.parametrize("how", ["no time passes", "no short-term memory"])
def test_time_aware_lstm_reduces_to_the_lstm(how: str, engine: str) -> None:
    call = make_call(cells.time_aware_lstm, SIZES, 5, 3, frozen=("initial",))
    if how == "no time passes":
        call.sides["dt"].detach().zero_()
        unread = {"d p.W_d", "d p.b_d", "d dt"}
    else:
        zero(call, "W_d", "b_d")
        unread = {"d p.W_d", "d p.b_d"}
    found, want = run(engine, cells.time_aware_lstm, call), of_torch(call)
    close(found, {k: v for k, v in want.items() if k not in unread}, how)
    if how == "no time passes":
        assert not found["d p.W_d"].any() and found["d dt"].any()  # it would matter if time passed
    else:
        assert not found["d dt"].any() and found["d p.W_d"].any()


@every_engine
def test_short_gaps_are_long_ones_seen_through_a_logarithm(engine: str) -> None:
    """max(dt, 1) = log(e + (exp(max(dt, 1)) - e))."""
    cell = cells.time_aware_lstm
    call = make_call(cell, SIZES, 5, 3, frozen=("initial", "sides"))
    call.sides["dt"] = 3 * call.sides["dt"]
    found = run(engine, cell.with_(g=reciprocal), call)
    call.sides["dt"] = call.sides["dt"].clamp(min=1).exp() - torch.e
    close(found, run(engine, cell, call), "1 / dt")


@every_engine
def test_multiplicative_integration_with_additive_numbers_is_the_lstm(engine: str) -> None:
    call = call_of(cells.mi_lstm)
    for gate in "ifco":
        for name, value in (("alpha", 0.0), ("beta", 1.0), ("gamma", 1.0)):
            call.params[f"{name}_{gate}"] = torch.full((4,), value, dtype=torch.float64, requires_grad=True)
    found, want = outputs(engine, cells.mi_lstm, call), by_name(*torch_nn.lstm(call.params, call.x, call.hx))
    call.params = {name: value for name, value in call.params.items() if name[:2] in ("W_", "U_", "b_")}
    close(found | gradients(found, call), want | gradients(want, call), "mi_lstm")


@every_engine
def test_clockwork_with_one_period_is_a_plain_net(engine: str) -> None:
    """With all periods 1 it is torch.nn.RNN, whose weight_hh is block-triangular."""

    def plain(params: dict[str, Tensor], x: Tensor, hx: tuple[Tensor, ...]) -> Found:
        U = torch.cat([params["U_1"], nn.functional.pad(params["U_2"], (4, 0))])
        W, b = (torch.cat([params[f"{letter}_1"], params[f"{letter}_2"]]) for letter in "Wb")
        weights = {"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": 0 * b}
        y, h = torch.func.functional_call(nn.RNN(3, 8, dtype=x.dtype), weights, (x, hx[0][None]))
        return y, (h[0],)

    agree(cells.clockwork_rnn.with_(periods=(1, 1)), plain, engine)


@every_engine
def test_leaky_without_memory_of_its_own_is_a_plain_net(engine: str) -> None:
    agree(cells.leaky_rnn.with_(alpha=1.0), torch_nn.elman, engine)


@every_engine
def test_lipschitz_without_its_linear_part_is_antisymmetric(engine: str) -> None:
    cell = cells.lipschitz_rnn.with_(eps=0.5, beta=1.0, gamma=0.0)
    call = call_of(cell)
    call.params["M_A"] = torch.zeros(4, 4, dtype=torch.float64)
    weights = {"weight_ih": call.params["U"], "weight_hh": call.params["M_W"], "bias_ih": call.params["b"]}
    kind = torchrecurrent.AntisymmetricRNNCell
    close(outputs(engine, cell, call), by_name(*run_cell(kind, weights, call.x, call.hx, epsilon=0.5)), cell.name)


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
def test_slstm_forgets_by_exp(engine: str) -> None:
    """exp(log sigmoid(b)) is sigmoid(b), where the gate sees its bias alone."""
    call = make_call(cells.slstm, SIZES, 6, 2, frozen=("initial",))
    zero(call, "W_f", "R_f")
    want = run(engine, cells.slstm, call)
    b_f = call.params["b_f"].detach()
    call.params["b_f"] = nn.functional.logsigmoid(b_f).requires_grad_()
    found = run(engine, cells.slstm.with_(forget="exp"), call)
    found["d p.b_f"] = found["d p.b_f"] * sigmoid(-b_f)  # which is the derivative of log sigmoid
    close(found, {k: v for k, v in want.items() if k not in ("d p.W_f", "d p.R_f")}, "forget by exp")
