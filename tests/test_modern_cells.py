"""What the papers of 2014 to 2024 say of their cells beside the equations: counts, settings, laws, starts."""

from __future__ import annotations

import numpy
import pytest
import torch
from scipy.signal import cont2discrete
from scipy.special import eval_legendre
from torch import Tensor, nn

import carousel as ca
from carousel import cells, engines, exp, sigmoid, tanh
from carousel.cells.lmu import legendre, window
from carousel.cells.slstm import slstm
from carousel.cells.time_aware_lstm import reciprocal
from carousel.graph import Cell
from carousel.graph.levels import SEQUENCE, levels
from oracles import torch_nn
from oracles.authors_xlstm import run_xlstm
from runs import ENGINES, Call, close, gradients, make_call, scan

every_engine = pytest.mark.parametrize("engine", ENGINES)
SIZES = {"input_size": 3, "hidden_size": 4}


def run(engine: str, cell: Cell, call: Call) -> dict[str, Tensor]:
    return scan(engines.PREFERENCE[engine].scan, cell, call, ())


def of_torch(call: Call) -> dict[str, Tensor]:
    """torch.nn.LSTM on the call's parameters, and gradients."""
    projection = {"W_hr": call.params["W_rm"]} if "W_rm" in call.params else {}
    y, final = torch_nn.lstm({**call.params, **projection}, call.x, call.hx)
    found = {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}
    return found | gradients(found, call)


def zero(call: Call, *names: str) -> None:
    for name in names:
        call.params[name].detach().zero_()


# -- lstmp


@every_engine
def test_lstmp_without_peepholes_is_pytorchs_projected_lstm(engine: str) -> None:
    cell = cells.lstmp.with_(nonrecurrent=False)
    call = make_call(cell, {**SIZES, "proj_size": 2}, 5, 3, frozen=("initial",))
    zero(call, "V_i", "V_f", "V_o")
    of_peepholes = {f"d p.V_{gate}" for gate in "ifo"}
    close(run(engine, cell, call), {k: v for k, v in of_torch(call).items() if k not in of_peepholes}, "lstmp")


@pytest.mark.parametrize(("layers", "units", "total"), [(2, 800, 13_182_311), (1, 2048, 12_893_607)])
def test_lstmp_has_as_many_parameters_as_the_papers_formula(layers: int, units: int, total: int) -> None:
    """Its best net, "13 M": 40 inputs, 512 projections, 14,247 outputs; the formula's sum, with all biases."""
    cell = cells.lstmp.with_(nonrecurrent=False)
    net = ca.Recurrent(cell, 40, units, num_layers=layers, proj_size=512, device="meta")
    output = nn.Linear(512, 14_247, device="meta")
    assert sum(p.numel() for module in (net, output) for p in module.parameters()) == total


# -- time_aware_lstm


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


# -- entity_aware_lstm


def test_the_static_input_gate_is_computed_once_a_sequence() -> None:
    cell = cells.entity_aware_lstm
    assert levels(cell.step, cell.sides)[cell.step.names["i"]] == SEQUENCE
    assert "once a sequence: i\n" in str(cell)  # as the native engine's plan has it


# -- slstm


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
def test_slstm_forgets_by_exp(engine: str) -> None:
    """exp(log sigmoid(b)) is sigmoid(b), where the gate sees its bias alone."""
    call = make_call(slstm, SIZES, 6, 2, frozen=("initial",))
    zero(call, "W_f", "R_f")
    want = run(engine, slstm, call)
    b_f = call.params["b_f"].detach()
    call.params["b_f"] = nn.functional.logsigmoid(b_f).requires_grad_()
    found = run(engine, slstm.with_(forget=exp), call)
    found["d p.b_f"] = found["d p.b_f"] * sigmoid(-b_f)  # which is the derivative of log sigmoid
    close(found, {k: v for k, v in want.items() if k not in ("d p.W_f", "d p.R_f")}, "forget by exp")


def test_slstm_refuses_other_forget_gates() -> None:
    with pytest.raises(ValueError, match="forget is 'tanh', expected carousel's sigmoid or exp"):
        slstm.with_(forget=tanh)


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


def test_slstm_starts_as_the_authors_package_does() -> None:
    from xlstm.blocks.slstm.cell import sLSTMCell, sLSTMCellConfig

    theirs = sLSTMCell(sLSTMCellConfig(hidden_size=32, num_heads=4, backend="vanilla"))
    ours = dict(ca.Recurrent(slstm, 10, 32).named_parameters())
    for gate, b in zip("ifzo", theirs._bias_.view(4, 32), strict=True):
        torch.testing.assert_close(ours[f"b_{gate}_l0"], b)
        assert not ours[f"R_{gate}_l0"].any() and not theirs._recurrent_kernel_.any()
    assert abs(ours["W_z_l0"].std() - (2 / 50) ** 0.5) < 0.03


# -- lmu


@pytest.mark.parametrize(("size", "theta"), [(1, 10.0), (6, 30.0), (20, 784.0)])
def test_lmus_matrices_are_those_of_its_differential_equation(size: int, theta: float) -> None:
    """The paper's A and B, written as a table, discretised by SciPy with the input held during a step."""
    A = numpy.array([[(2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) for j in range(size)] for i in range(size)])
    B = numpy.array([[(2 * i + 1) * (-1) ** i] for i in range(size)])
    want_A, want_B, *_ = cont2discrete((A / theta, B / theta, numpy.eye(size), 0 * B), dt=1.0, method="zoh")
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
