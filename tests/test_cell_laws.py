"""What papers prove or claim of their cells: closed forms, invariants, memories."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.signal
import torch
from scipy.special import eval_legendre
from torch import Tensor

import carousel as ca
from carousel import cells, engines, exp, sigmoid, tanh
from carousel.cells.lmu import legendre, window
from carousel.cells.slstm import slstm
from carousel.graph.levels import SEQUENCE, levels
from cell_calls import B, D, T, call_of, data, layer_of, outputs, run
from oracles.authors_xlstm import run_xlstm
from runs import ENGINES, Call, close, gradients, make_call
from tolerances import assert_close

every_engine = pytest.mark.parametrize("engine", ENGINES)
SIZES = {"input_size": 3, "hidden_size": 4}


# -- recurrences that are linear in the state: sums over time


def average(keep: Tensor, new: Tensor, h: Tensor) -> Tensor:
    """h_t = keep_t * h_{t-1} + new_t from products and sums over time, with no recurrence; all (T, B, H)."""
    kept = keep.cumprod(0)
    return kept * (h + (new / kept).cumsum(0))


@every_engine
def test_the_minimal_cells_are_weighted_sums_of_what_they_are_given(engine: str) -> None:
    x, (h,) = data(1)
    for cell, names in ((cells.min_gru, "zn"), (cells.min_lstm, "fin")):
        y, _, seen = layer_of(cell, engine)(x, (h,), record=tuple(names))
        gates = {name: value[0] for name, value in seen.items()}
        share = gates["z"] if "z" in gates else gates["i"] / (gates["i"] + gates["f"])
        assert_close(y, average(1 - share, share * gates["n"], h))


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


# -- the exponential gates of the sLSTM


@ca.cell
def unstabilised(x, h, c, n, p):
    """The scalar memory as it is before the paper keeps its exponents small."""
    z = tanh(p.W_z @ x + p.R_z.blocks(4) @ h + p.b_z)
    i = exp(p.W_i @ x + p.R_i.blocks(4) @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.R_f.blocks(4) @ h + p.b_f)
    o = sigmoid(p.W_o @ x + p.R_o.blocks(4) @ h + p.b_o)
    c = f * c + i * z
    n = f * n + i
    h = o * c / n
    return h, c, n


@every_engine
def test_the_stabiliser_changes_neither_h_nor_its_derivatives(engine: str) -> None:
    call = make_call(slstm, SIZES, 6, 2, frozen=("initial",))
    h, c, n, m = call.hx
    results = []
    for cell, hx in ((slstm, (h, c, n, m)), (unstabilised, (h, c * m.exp(), n * m.exp()))):
        y, _, _ = engines.PREFERENCE[engine].scan(
            *(cell, call.sizes, call.x, hx, call.params),
            **{"sides": {}, "lengths": None, "resets": None, "initial": call.initial[: len(hx)]},
        )
        results.append({"y": y} | gradients({"y": y}, call))
    close(*results, "stabiliser")


@every_engine
def test_slstm_bears_exponents_that_overflow(engine: str) -> None:
    call = make_call(slstm, SIZES, 6, 2, dtype=torch.float32)
    call.params["b_i"].detach().fill_(500.0)
    call.params["b_f"].detach().fill_(-500.0)
    assert all(value.isfinite().all() for value in run(engine, slstm, call).values())


@every_engine
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_slstm_from_nothing_is_the_authors_first_step(dtype: torch.dtype, engine: str) -> None:
    """Our m starts from minus infinity, theirs from 0 with an exception where n is 0; heads of four units."""
    cell = slstm.with_(heads=2)
    call = make_call(cell, {"input_size": 3, "hidden_size": 8}, 6, 2, frozen=("initial", "hx"), dtype=dtype)
    call.hx = tuple(torch.full_like(h, cell.initial[name]) for h, name in zip(call.hx, cell.states, strict=True))
    y, final, _ = engines.PREFERENCE[engine].scan(
        *(cell, call.sizes, call.x, call.hx, call.params),
        **{"sides": {}, "lengths": None, "resets": None, "initial": call.initial},
    )
    found = {"y": y, **dict(zip(cell.states, final, strict=True))}
    want_y, want_final = run_xlstm(call.params, call.x, None)
    want = {"y": want_y, **dict(zip(cell.states, want_final, strict=True))}
    close(found, want, "from nothing")
    close(gradients({"y": y}, call), gradients({"y": want_y}, call), "from nothing")


def test_the_authors_layer_has_the_names_of_two_projections_the_wrong_way_round() -> None:
    """Its fgate makes what our W_i makes, its igate what W_f makes; its projections have one block a head."""
    from xlstm.blocks.slstm.layer import sLSTMLayer, sLSTMLayerConfig

    config = sLSTMLayerConfig(embedding_dim=8, num_heads=4, conv1d_kernel_size=0, backend="vanilla")
    theirs, ours = sLSTMLayer(config), ca.Recurrent(slstm, 8, 8, batch_first=True)
    projections = {"i": theirs.fgate, "f": theirs.igate, "z": theirs.zgate, "o": theirs.ogate}
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        recurrent = dict(zip("ifzo", theirs.slstm_cell._recurrent_kernel_.split(2, 1), strict=True))
        biases = dict(zip("ifzo", theirs.slstm_cell._bias_.split(8), strict=True))
        for gate, projection in projections.items():
            ours.get_parameter(f"W_{gate}_l0").copy_(torch.block_diag(*projection.weight))
            ours.get_parameter(f"R_{gate}_l0").copy_(recurrent[gate])
            ours.get_parameter(f"b_{gate}_l0").copy_(biases[gate])
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    by_head = ours(x)[0].view(2, 5, 4, 2).transpose(1, 2)
    torch.testing.assert_close(theirs(x), theirs.group_norm(by_head).transpose(1, 2).reshape(2, 5, 8))


# -- the memory of the LMU


@pytest.mark.parametrize(("size", "theta"), [(1, 10.0), (6, 30.0), (20, 784.0)])
def test_lmus_matrices_are_those_of_its_differential_equation(size: int, theta: float) -> None:
    """The paper's A and B, written as a table, discretised by SciPy with the input held during a step."""
    A = numpy.array([[(2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) for j in range(size)] for i in range(size)])
    B = numpy.array([[(2 * i + 1) * (-1) ** i] for i in range(size)])
    want_A, want_B, *_ = scipy.signal.cont2discrete(
        (A / theta, B / theta, numpy.eye(size), 0 * B), dt=1.0, method="zoh"
    )
    for got, want in zip(legendre(size, theta), (want_A, want_B[:, 0]), strict=True):
        torch.testing.assert_close(got, torch.from_numpy(want))


@every_engine
def test_lmu_remembers_its_window(engine: str) -> None:
    """u, r theta steps ago, is the sum of the Legendre polynomials at 2 r - 1 weighted by m: the paper's delay."""
    theta = 64
    layer = ca.Recurrent(cells.lmu, 1, 2, memory_size=14, init=window(theta), engine=engine, dtype=torch.float64)
    with torch.no_grad():
        layer.e_x_l0.fill_(1.0)
        layer.e_h_l0.zero_()
        u = torch.sin(torch.arange(400) / 9.0).double()[:, None, None]
        m = layer(u)[1][1][0, 0]
    for r in (0.25, 0.5, 0.75, 1.0):
        weights = torch.from_numpy(eval_legendre(numpy.arange(14), 2 * r - 1))
        remembered, held = weights @ m, torch.sin(torch.tensor((399.5 - r * theta) / 9.0)).double()
        torch.testing.assert_close(remembered, held, atol=5e-3, rtol=0)  # a step is held, the sine is not


# -- steps of differential equations


def test_unicornn_is_symplectic() -> None:
    """Its step keeps the area of each unit's (y, z), the paper's reason for undamped memory."""
    cell = cells.unicornn.with_(dt=0.8, alpha=1.3)
    call = call_of(cell, T=6, H=1)

    def final(y: Tensor, z: Tensor) -> Tensor:
        found = outputs("eager", cell, Call(**{**vars(call), "x": call.x[:, :1], "hx": (y, z)}))
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
    found = outputs("eager", cell, Call(**{**vars(call), "hx": (h,)}))
    assert_close(found["y"][0].norm(dim=-1), h.norm(dim=-1), rtol=1e-6, atol=0)


@every_engine
def test_implicit_cornn_damps_with_the_new_speed(engine: str) -> None:
    """z_t = z_{t-1} + dt (tanh(...) - gamma y_{t-1} - eps z_t): the explicit step without damping, less dt eps z_t."""
    undamped, options = cells.cornn.with_(dt=0.3, eps=0.0), {"dt": 0.3, "eps": 0.7}
    call = call_of(undamped, T=1)
    free, found = outputs(engine, undamped, call), outputs(engine, cells.cornn.with_(**options, implicit=True), call)
    assert_close(found["final[1]"], free["final[1]"] - 0.3 * 0.7 * found["final[1]"])
    assert_close(found["y"][0], call.hx[0] + 0.3 * found["final[1]"])


# -- clocks and gates


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
def test_a_phased_lstm_whose_gate_is_shut_keeps_its_state(engine: str) -> None:
    layer = layer_of(cells.phased_lstm.with_(leak=0.0), engine, log_tau=math.log(8), r_on=0.25, s=3.0)
    x, hx = data(2)
    _, final = layer(x, hx, time=torch.full((T, B, 1), 3.0 + 5.0, dtype=torch.float64))
    assert_close(final, hx)


def test_the_static_input_gate_is_computed_once_a_sequence() -> None:
    cell = cells.entity_aware_lstm
    assert levels(cell.step, cell.sides)[cell.step.names["i"]] == SEQUENCE
    assert "once a sequence: i\n" in str(cell)  # as the native engine's plan has it


def test_bistable_units_hold_two_values() -> None:
    """Above a = 1 a unit has two stable values, below one (the paper's section on bistability)."""
    for strength, stable in ((3.0, True), (-3.0, False)):
        layer = ca.Recurrent(cells.brc, 1, 1, engine="eager")
        with torch.no_grad():
            for name, start in {"W_a": 0, "W_c": 0, "W_h": 0, "V_a": 0, "V_c": 0, "b_a": strength, "b_c": 0}.items():
                getattr(layer, f"{name}_l0").fill_(start)
            y, _ = layer(torch.zeros(200, 2, 1), (torch.tensor([[[0.1], [-0.1]]]),))
        assert (y[-1].abs() > 0.5).all() == stable and (y[-1, 0] * y[-1, 1] < -0.25) == stable


@every_engine
def test_a_chaos_free_network_comes_to_rest(engine: str) -> None:
    """Without input, each unit is at most tanh of what it was."""
    layer = layer_of(cells.cfn, engine)
    _, (h,) = data(1)
    y, _ = layer(torch.zeros(200, B, D, dtype=torch.float64), (h,))
    before = torch.cat([h, y[:-1]])
    assert (y.abs() <= before.abs().tanh()).all()
    assert y[-1].abs().max() < 0.1
