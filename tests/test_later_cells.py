"""Options, starts and laws of the cells that came after the LSTM and the GRU."""

from __future__ import annotations

import pytest
import torch
import torchrecurrent
from torch import Tensor, nn
from torch.testing import assert_close

import carousel as ca
from carousel import cells, engines
from carousel.graph import Cell, relu
from oracles.common import Found, Oracle
from oracles.torch_nn import elman, lstm
from oracles.torch_recurrent import run_cell
from oracles.torch_recurrent_later import antisymmetric, cornn, fast_rnn, lem, scrn, tau_gru, unicornn
from oracles.torch_steps import clockwork_rnn, leaky_rnn, lipschitz_rnn, recurrent_highway
from runs import ENGINES, Call, close, gradients, make_call

every_engine = pytest.mark.parametrize("engine", ENGINES)


def call_of(cell: Cell, T: int = 5, H: int = 4) -> Call:
    known = {"input_size": 3, "hidden_size": H}
    return make_call(cell, {name: known.get(name, 2) for name in cell.sizes}, T, 2, frozen=("initial",))


def by_name(y: Tensor, final: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {"y": y, **{f"final[{k}]": state for k, state in enumerate(final)}}


def run(engine: str, cell: Cell, call: Call) -> dict[str, Tensor]:
    keywords = {"sides": {}, "lengths": None, "resets": None, "initial": call.initial}
    y, final, _ = engines.PREFERENCE[engine].scan(cell, call.sizes, call.x, call.hx, call.params, **keywords)
    return by_name(y, final)


# -- options, against the same oracles with the same options

OPTIONS: list[tuple[Cell, dict[str, object], Oracle]] = [
    (cells.cornn, {"dt": 0.3, "gamma": 1.7, "eps": 0.6}, cornn),
    (cells.lem, {"dt": 0.4}, lem),
    (cells.scrn, {"alpha": 0.7}, scrn),
    (cells.tau_gru, {"delay": 1}, tau_gru),
    (cells.tau_gru, {"delay": 3}, tau_gru),
    (cells.unicornn, {"dt": 0.7, "alpha": 2.5}, unicornn),
    (cells.antisymmetric_rnn, {"eps": 0.5, "gamma": 0.3}, antisymmetric),
    (cells.gated_antisymmetric_rnn, {"eps": 0.5, "gamma": 0.3}, antisymmetric),
    (cells.lipschitz_rnn, {"eps": 0.5, "beta": 0.6, "gamma": 0.3}, lipschitz_rnn),
    (cells.leaky_rnn, {"alpha": 0.9}, leaky_rnn),
    (cells.clockwork_rnn, {"periods": (1, 3)}, clockwork_rnn),
    (cells.clockwork_rnn, {"periods": (2, 2, 5)}, clockwork_rnn),
]


@every_engine
@pytest.mark.parametrize(("cell", "options", "oracle"), OPTIONS, ids=[cell.name for cell, _, _ in OPTIONS])
def test_options(cell: Cell, options: dict[str, object], oracle: Oracle, engine: str) -> None:
    cell = cell.with_(**options)
    agree(cell, lambda *given: oracle(*given, **options), engine)


@every_engine
@pytest.mark.parametrize("options", [{"coupled": False}, {"depth": 1}, {"depth": 2, "coupled": False}], ids=str)
def test_recurrent_highway_of_other_forms(options: dict[str, object], engine: str) -> None:
    agree(cells.recurrent_highway.with_(**options), recurrent_highway, engine)


@every_engine
def test_fast_rnn_with_relu(engine: str) -> None:
    agree(cells.fast_rnn.with_(f=relu), lambda *given: fast_rnn(*given, f="relu"), engine)


def agree(cell: Cell, oracle: Oracle, engine: str) -> None:
    call = call_of(cell)
    found, want = run(engine, cell, call), by_name(*oracle(call.params, call.x, call.hx))
    close(found | gradients(found, call), want | gradients(want, call), cell.name)


# -- settings in which one cell is another


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
def test_clockwork_ticks_exactly(engine: str) -> None:
    """In single precision, at step numbers of which a third is not exact."""
    cell = cells.clockwork_rnn.with_(periods=(1, 3, 7, 49))
    layer = ca.Recurrent(cell, 1, 1, engine=engine)
    y, _ = layer(torch.randn(500, 1, 1))
    moved = (y[1:] != y[:-1])[:, 0]
    for k, period in enumerate((1, 3, 7, 49)):
        assert torch.equal(moved[:, k].nonzero()[:, 0] + 1, torch.arange(period, 500, period)), period


@every_engine
def test_lipschitz_without_its_linear_part_is_antisymmetric(engine: str) -> None:
    cell = cells.lipschitz_rnn.with_(eps=0.5, beta=1.0, gamma=0.0)
    call = call_of(cell)
    call.params["M_A"] = torch.zeros(4, 4, dtype=torch.float64)
    weights = {"weight_ih": call.params["U"], "weight_hh": call.params["M_W"], "bias_ih": call.params["b"]}
    kind = torchrecurrent.AntisymmetricRNNCell
    close(run(engine, cell, call), by_name(*run_cell(kind, weights, call.x, call.hx, epsilon=0.5)), cell.name)


@every_engine
def test_leaky_without_memory_of_its_own_is_a_plain_net(engine: str) -> None:
    agree(cells.leaky_rnn.with_(alpha=1.0), elman, engine)


@every_engine
def test_multiplicative_integration_with_additive_numbers_is_the_lstm(engine: str) -> None:
    call = call_of(cells.mi_lstm)
    for gate in "ifco":
        for name, value in (("alpha", 0.0), ("beta", 1.0), ("gamma", 1.0)):
            call.params[f"{name}_{gate}"] = torch.full((4,), value, dtype=torch.float64, requires_grad=True)
    found, want = run(engine, cells.mi_lstm, call), by_name(*lstm(call.params, call.x, call.hx))
    call.params = {name: value for name, value in call.params.items() if name[:2] in ("W_", "U_", "b_")}
    close(found | gradients(found, call), want | gradients(want, call), "mi_lstm")


# -- laws


@every_engine
def test_implicit_cornn_damps_with_the_new_speed(engine: str) -> None:
    """z_t = z_{t-1} + dt (tanh(...) - gamma y_{t-1} - eps z_t): the explicit step without damping, less dt eps z_t."""
    undamped, options = cells.cornn.with_(dt=0.3, eps=0.0), {"dt": 0.3, "eps": 0.7}
    call = call_of(undamped, T=1)
    free, found = run(engine, undamped, call), run(engine, cells.cornn.with_(**options, implicit=True), call)
    assert_close(found["final[1]"], free["final[1]"] - 0.3 * 0.7 * found["final[1]"])
    assert_close(found["y"][0], call.hx[0] + 0.3 * found["final[1]"])


def test_unicornn_is_symplectic() -> None:
    """Its step keeps the area of each unit's (y, z), the paper's reason for undamped memory."""
    cell = cells.unicornn.with_(dt=0.8, alpha=1.3)
    call = call_of(cell, T=6, H=1)

    def final(y: Tensor, z: Tensor) -> Tensor:
        found = run("eager", cell, Call(**{**vars(call), "x": call.x[:, :1], "hx": (y, z)}))
        return torch.cat([found["final[0]"], found["final[1]"]]).flatten()

    y, z = (state[:1].detach() for state in call.hx)
    columns = torch.autograd.functional.jacobian(final, (y, z))
    jacobian = torch.stack([column.flatten() for column in columns], 1)
    assert_close(torch.linalg.det(jacobian), torch.tensor(1.0, dtype=torch.float64))


def test_antisymmetric_steps_turn() -> None:
    """Without damping the eigenvalues of W - W^T are imaginary: to first order in eps the step keeps lengths."""
    cell = cells.antisymmetric_rnn.with_(eps=1e-4, gamma=0.0)
    call = call_of(cell, T=1)
    call.params.update({name: torch.zeros_like(call.params[name]) for name in ("V", "b")})
    h = 1e-3 * call.hx[0].detach()  # where tanh is the identity
    found = run("eager", cell, Call(**{**vars(call), "hx": (h,)}))
    assert_close(found["y"][0].norm(dim=-1), h.norm(dim=-1), rtol=1e-6, atol=0)


def test_bistable_units_hold_two_values() -> None:
    """Above a = 1 a unit has two stable values, below one (the paper's section on bistability)."""
    for strength, stable in ((3.0, True), (-3.0, False)):
        layer = ca.Recurrent(cells.brc, 1, 1, engine="eager")
        with torch.no_grad():
            for name, start in {"W_a": 0, "W_c": 0, "W_h": 0, "V_a": 0, "V_c": 0, "b_a": strength, "b_c": 0}.items():
                getattr(layer, f"{name}_l0").fill_(start)
            y, _ = layer(torch.zeros(200, 2, 1), (torch.tensor([[[0.1], [-0.1]]]),))
        assert (y[-1].abs() > 0.5).all() == stable and (y[-1, 0] * y[-1, 1] < -0.25) == stable


# -- starts


@pytest.mark.parametrize(
    ("cell", "starts"),
    [
        (cells.fast_rnn, {"alpha": -3.0, "beta": 3.0, "b": 1.0}),
        (cells.fast_grnn, {"zeta": 1.0, "nu": -4.0, "b_z": 1.0, "b_h": 1.0}),
        (cells.brc, {"V_a": 1.0, "V_c": 1.0, "b_a": 0.0, "b_c": 0.0}),
        (cells.unicornn, {"b": 0.0}),
        (cells.recurrent_highway, {"b_t1": -2.0, "b_t3": -2.0}),
        (cells.lipschitz_rnn, {"b": 0.0}),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_starts_are_those_of_the_authors(cell: Cell, starts: dict[str, float]) -> None:
    layer = ca.Recurrent(cell, 3, 5)
    for name, start in starts.items():
        parameter = getattr(layer, f"{name}_l0")
        assert_close(parameter, torch.full_like(parameter, start))


def test_random_starts() -> None:
    torch.manual_seed(0)
    layer = ca.Recurrent(cells.unicornn, 3, 200)
    assert 0 <= layer.w_l0.min() < 0.1 and 0.9 < layer.w_l0.max() <= 1 and 0.08 < layer.c_l0.abs().max() <= 0.1
    layer = ca.Recurrent(cells.lipschitz_rnn, 3, 100)
    assert layer.M_A_l0.std().item() == pytest.approx(0.01, rel=0.1)
    layer = ca.Recurrent(cells.lru, 3, 2000)
    radius, angle = torch.exp(-torch.exp(layer.nu_l0)), torch.exp(layer.theta_l0)
    assert radius.max() < 1 and angle.min() > 0 and angle.max() <= 6.2832
    for part in (0.25, 0.5, 0.75):  # as much of the disc as of the points
        assert (radius**2 < part).float().mean().item() == pytest.approx(part, abs=0.04)
        assert (angle < 6.2832 * part).float().mean().item() == pytest.approx(part, abs=0.04)
    assert layer.B_re_l0.std().item() == pytest.approx(6**-0.5, rel=0.1)
    layer = ca.Recurrent(cells.nbrc, 3, 8)
    assert_close(layer.U_a_l0 @ layer.U_a_l0.T, torch.eye(8), atol=1e-5, rtol=0)


def test_options_that_make_no_cell() -> None:
    for cell, options, message in [
        (cells.clockwork_rnn, {"periods": (4, 1)}, r"periods is \(4, 1\), expected whole numbers from 1 on in rising"),
        (cells.clockwork_rnn, {"periods": ()}, r"periods is \(\), expected"),
        (cells.recurrent_highway, {"depth": 0}, "depth is 0, expected a whole number, at least 1"),
        (cells.tau_gru, {"delay": 0}, "delay is 0, expected a whole number, at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            cell.with_(**options)


def test_widths_of_their_own() -> None:
    """Layers on layers, where the output is not as wide as the state."""
    x = torch.randn(4, 2, 3)
    for cell, width, sizes in [
        (cells.intersection_rnn, 3, {}),
        (cells.scrn, 7, {"context_size": 2}),
        (cells.clockwork_rnn, 20, {}),
        (cells.fast_grnn_low_rank, 5, {"input_rank": 2, "hidden_rank": 2}),
    ]:
        y, _ = ca.Recurrent(cell, 3, 5, num_layers=2, **sizes)(x)
        assert y.shape == (4, 2, width), cell.name
