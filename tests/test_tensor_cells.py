"""Cells on tensors: what every registered cell is tested for, in each of their forms; layers; storing; laws."""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import carousel as ca
import test_registry as kinds
from carousel import CellError, TensorCell, cells, engines
from carousel.cells import Entry
from carousel.cells.mass_conserving_lstm import mass_conserving_lstm
from carousel.cells.mlstm import mlstm
from carousel.graph.storing import from_data, to_data
from oracles import ORACLES
from oracles.authors_neuralhydrology import run_neuralhydrology
from reference import naive_scan
from runs import close, gradients, make_call, scan
from tolerances import assert_close

TENSOR = [entry for entry in cells.entries() if isinstance(entry.cell, TensorCell)]
OPTIONS = {
    "mlstm": [
        {"heads": 2, "chunk_size": 2},
        {"heads": 2, "form": "parallel"},
        {"heads": 1, "form": "recurrent"},
        {"heads": 2, "forget": "exp", "chunk_size": 3},
    ],
    "mass_conserving_lstm": [{}, {"masses": 2}, {"spread": "sigmoid", "move": "relu"}, {"normalize": False}],
}


def engines_of(entry: Entry) -> list[str]:
    """Those that serve the cell."""
    return [name for name in ("eager", "whole") if engines.serves(name, entry.cell, torch.zeros(1, 1, 1)) is None]


RUNS = [
    pytest.param(replace(entry, cell=entry.cell.with_(**options)), engine, id=f"{entry.name}-{options}-{engine}")
    for entry in TENSOR
    for options in OPTIONS[entry.name]
    for engine in engines_of(entry)
]

NOTHING = {"sides": {}, "lengths": None, "resets": None, "initial": None}

every_run = pytest.mark.parametrize(("entry", "engine"), RUNS)
every_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def test_every_registered_cell_is_tested_here_or_there() -> None:
    here, there = {entry.name for entry in TENSOR}, {entry.name for entry in kinds.ENTRIES}
    assert here | there == set(cells.names()) and not here & there
    assert here == set(OPTIONS)


# -- the kinds of test that every registered cell is put to


@every_direction
@every_run
def test_gradients_are_finite_differences(entry: Entry, engine: str, reverse: bool) -> None:
    kinds.test_gradients_are_finite_differences(entry, engine, reverse)


@every_direction
@every_run
def test_two_chunks_are_the_whole(entry: Entry, engine: str, reverse: bool) -> None:
    kinds.test_two_chunks_are_the_whole(entry, engine, reverse)


@every_direction
@every_run
def test_a_sample_alone_is_the_sample_in_a_batch(entry: Entry, engine: str, reverse: bool) -> None:
    kinds.test_a_sample_alone_is_the_sample_in_a_batch(entry, engine, reverse)


@every_run
def test_every_parameter_and_state_gets_a_gradient(entry: Entry, engine: str) -> None:
    kinds.test_every_parameter_and_state_gets_a_gradient(entry, engine)


ASKED = {
    "mlstm": [({"heads": heads}, ORACLES["mlstm"]) for heads in (1, 2)],
    "mass_conserving_lstm": [({"masses": masses}, ORACLES["mass_conserving_lstm"]) for masses in (1, 2)],
}


@pytest.mark.parametrize(
    ("entry", "engine", "oracle"),
    [
        pytest.param(
            replace(entry, cell=entry.cell.with_(**options)), engine, oracle, id=f"{entry.name}-{options}-{engine}"
        )
        for entry in TENSOR
        for options, oracle in ASKED[entry.name]
        for engine in engines_of(entry)
    ],
)
def test_the_oracle_says_the_same(entry: Entry, engine: str, oracle: kinds.Oracle) -> None:
    kinds.agrees(entry, engine, oracle)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@every_direction
@every_run
def test_every_engine_equals_the_reference(
    entry: Entry, engine: str, reverse: bool, ragged: bool, dtype: torch.dtype
) -> None:
    kinds.test_every_engine_equals_the_reference(entry, engine, reverse, ragged, dtype)


@pytest.mark.parametrize("entry", TENSOR, ids=lambda entry: entry.name)
def test_the_page_is_whole(entry: Entry) -> None:
    kinds.test_the_page_is_whole(entry)


# -- in layers


def layer_of(cell: TensorCell, **keywords) -> ca.Recurrent:
    torch.manual_seed(1)
    layer = ca.Recurrent(cell, 3, 8, **{"dtype": torch.float64, "learn_initial": True, **keywords})
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def everything(layer: ca.Recurrent, x: Tensor, **keywords) -> list[Tensor]:
    y, state = layer(x, **keywords)
    loss = sum((value * torch.arange(value.numel()).view(value.shape).cos()).sum() for value in (y, *state))
    return [y, *state, *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pytest.mark.parametrize("cell", [mlstm, mass_conserving_lstm], ids=["mlstm", "mass_conserving_lstm"])
def test_layers_steps_and_checkpoints(cell: TensorCell) -> None:
    x = torch.randn(3, 11, 3, dtype=torch.float64, requires_grad=True)
    ragged = {"lengths": [11, 0, 5], "resets": torch.rand(3, 11) < 0.2}
    deep = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    layer = layer_of(cell, **deep)
    y, state = layer(x, **ragged)
    shapes = cell.state_shapes(input_size=3, hidden_size=8)
    assert y.shape == (3, 11, 16) and [s.shape for s in state] == [(4, 3, *shape) for shape in shapes]
    want = everything(layer, x, **ragged)
    assert_close(everything(layer_of(cell, checkpoint_every=4, **deep), x, **ragged), want)
    assert_close(everything(layer_of(cell, engine="eager", **deep), x, **ragged), want)

    down = layer_of(cell, num_layers=2)
    y, state = down(x.transpose(0, 1))
    moved = None
    for t in range(11):
        step, moved = down.step(x[:, t], moved)
        assert_close(step, y[t])
    assert_close(tuple(moved), tuple(state))
    alone, last = down(x[0])
    assert alone.shape == (11, 8) and [s.shape for s in last] == [(2, *shape) for shape in shapes]
    assert_close(down(x[0, :6], last)[0], down(x[:1, :6].transpose(0, 1), tuple(s[:, None] for s in last))[0][:, 0])
    assert layer(x[:, :0])[0].shape == (3, 0, 16)


def test_states_are_recorded() -> None:
    layer = layer_of(mlstm, num_layers=2)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    y, (C, _, m), seen = layer(x, lengths=[5, 3], record=("C", "m"))
    assert seen["C"].shape == (2, 5, 2, 4, 2, 2) and seen["m"].shape == (2, 5, 2, 4)
    assert_close(seen["C"][:, 4, 0], C[:, 0])
    assert_close(seen["m"][:, 2, 1], m[:, 1])
    assert not seen["C"][:, 3:, 1].any()
    assert_close(layer(x, lengths=[5, 3])[0], y)
    with pytest.raises(ValueError, match="record has 'i', which mlstm does not name; it names C, n, m"):
        layer(x, record=("i",))


@ca.tensor_cell(
    states={"A": ("hidden_size", "rank"), "h": ("hidden_size",)},
    shapes={"W": ("hidden_size", "input_size + static_size"), "V": ("rank", "event_size"), "zeta": (), "b": ("rank",)},
    initial={"A": 0.5},
    init={"b": 1.0},
    fixed={"zeta": 0.3},
)
def busy(
    x,
    A,
    h,
    p,
    *,
    dt,
    s=ca.static("static_size"),
    e=ca.per_step("event_size"),
    k=ca.mask("hidden_size", per="sequence", keep=0.8),
    t=ca.step_index(),
    rank=2,
):
    """All that a cell can be given."""
    u = torch.tanh(p.W @ torch.cat([x, s], -1)) * k + h * torch.cos(t)
    w = torch.sigmoid(p.V @ e + p.b)
    A = A * torch.exp(-dt)[..., None] + u[:, :, None] * w[:, None, :]
    return p.zeta * A.sum(-1), A, torch.sigmoid((A @ w[:, :, None]).squeeze(-1))


@every_direction
def test_sides_masks_step_index_initial_and_fixed_values(reverse: bool) -> None:
    sizes = {"input_size": 3, "hidden_size": 4, "static_size": 2, "event_size": 3}
    assert set(busy.sizes) == set(sizes)
    call = make_call(busy, sizes, 6, 4, lengths=(6, 0, 3, 5), resets=0.3, reverse=reverse)
    found = [scan(run, busy, call, ("A", "h")) for run in (engines.PREFERENCE["eager"].scan, naive_scan)]
    close(found[0], found[1], "busy")
    layer = ca.Recurrent(busy, **sizes, bidirectional=True)
    given = {"dt": torch.rand(5, 2, 1), "s": torch.randn(2, 2), "e": torch.randn(5, 2, 3)}
    y, (A, h) = layer(torch.randn(5, 2, 3), **given)
    assert y.shape == (5, 2, 8) and A.shape == (2, 2, 4, 2) and h.shape == (2, 2, 4)
    assert layer.zeta_l0.item() == pytest.approx(0.3) and "zeta_l0" not in dict(layer.named_parameters())
    assert (layer.b_l0 == 1).all()
    _, (A, _) = layer(torch.randn(0, 2, 3), dt=torch.rand(0, 2, 1), s=given["s"], e=torch.randn(0, 2, 3))
    assert (A == 0.5).all()
    with pytest.raises(ValueError, match="reads the step index"):
        ca.Recurrent(busy, **sizes, checkpoint_every=2)


def test_nets_take_them() -> None:
    translate = ca.EncoderDecoder(mlstm, 11, 12, 8, 8, num_layers=2)
    assert translate(torch.randint(11, (7, 2)), torch.randint(12, (5, 2)))[0].shape == (5, 2, 12)
    assert ca.HierarchicalSubsampling(mlstm, 3, [8, 8], [2, 2])(torch.randn(9, 2, 3))[0].shape == (3, 2, 16)


def test_engines_say_why_they_cannot() -> None:
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    for engine, why in (("native", "mlstm has matrices|core .* is not there"), ("torch", "PyTorch has no operator")):
        with pytest.raises(ValueError, match=why):
            layer_of(mlstm, engine=engine)(x)
    with pytest.raises(ValueError, match="does not show what happens inside"):
        layer_of(mlstm, engine="whole")(x, record=("C",))
    with pytest.raises(ValueError, match="no form for a whole sequence"):
        layer_of(mass_conserving_lstm, engine="whole")(x)
    with pytest.raises(ValueError, match="no form for a whole sequence"):
        ca.Recurrent(cells.lstm, 3, 4, engine="whole")(x.float())
    assert engines.choose("auto", mlstm, x) == "whole" and engines.choose("auto", mlstm, x, record=("C",)) == "eager"


def test_errors_of_shapes_and_declarations() -> None:
    with pytest.raises(ValueError, match="mlstm: hidden_size / heads is no whole number for hidden_size = 6, he"):
        ca.Recurrent(mlstm, 3, 6)
    with pytest.raises(ValueError, match="input_size - masses is -1 for input_size = 3, masses = 4"):
        ca.Recurrent(mass_conserving_lstm.with_(masses=4), 3, 6)
    with pytest.raises(TypeError, match="there is no option 'head'. Did you mean 'heads'"):
        mlstm.with_(head=2)
    with pytest.raises(ValueError, match="form is 'fast', expected one of: chunkwise, parallel, recurrent"):
        layer_of(mlstm.with_(form="fast"))(torch.zeros(1, 1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="move is 'max', expected one of: softmax"):
        layer_of(mass_conserving_lstm.with_(move="max"))(torch.zeros(1, 1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="hx's C has shape .*, expected .L, B, 4, 2, 2. with L = 1"):
        layer_of(mlstm)(torch.zeros(1, 1, 3, dtype=torch.float64), tuple(torch.zeros(1, 1, 4, 2) for _ in range(3)))
    with pytest.raises(CellError, match="states= declares .A., the function's arguments are .B."):
        ca.tensor_cell(states={"A": (1,)}, shapes={})(lambda x, B, p: B)
    with pytest.raises(CellError, match="<lambda>: an extent was given as 'hidden_size \\*\\* 2', expected sums"):
        ca.tensor_cell(states={"A": ("hidden_size ** 2",)}, shapes={})(lambda x, A, p: A)
    with pytest.raises(ValueError, match="heads is 'two', expected a whole number"):
        ca.Recurrent(mlstm.with_(heads="two"), 3, 6)
    with pytest.raises(CellError, match="init= has 'V', which matches no parameter"):
        ca.tensor_cell(states={"A": (1,)}, shapes={"W": (1,)}, init={"V": 0.0})(lambda x, A, p: A)
    with pytest.raises(CellError, match="cannot be called inside another cell"):

        @ca.cell
        def around(x, h, p):
            return mass_conserving_lstm(x, h, p)[0]


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's own, where it compiles parts
@pytest.mark.parametrize("engine", ["eager", "whole"])
def test_compiled_and_exported_it_computes_the_same(engine: str) -> None:
    """Square matrices, so that none could be taken for its transpose without being seen."""
    layer, x = ca.Recurrent(mlstm, 8, 8, engine=engine).double(), torch.randn(3, 2, 8, dtype=torch.float64)
    torch._dynamo.reset()
    assert_close(torch.compile(layer, backend="aot_eager")(x)[0], layer(x)[0])
    assert_close(torch.export.export(layer, (x,)).module()(x)[0], layer(x)[0])


# -- stored, copied, loaded


def test_stored_as_its_name_and_options(tmp_path) -> None:
    cell = mlstm.with_(heads=2, forget="exp")
    data = to_data(cell)
    assert data["tensor_cell"] == "carousel.cells.mlstm:mlstm" and data["options"] == {"heads": 2, "forget": "exp"}
    for again in (from_data(data), pickle.loads(pickle.dumps(cell))):
        assert again.options == cell.options and again.fn is mlstm.fn and again.sequence is mlstm.sequence
    assert from_data(to_data(mlstm)) is mlstm and copy.deepcopy(mlstm) is mlstm
    ours = "carousel.cells."
    for place in ("os:system", f"{ours}registry:Registry", f"{ours}none:none", f"{ours}mlstm:step", "mlstm:mlstm"):
        with pytest.raises(CellError, match="which this version of carousel does not have"):
            from_data({**data, "tensor_cell": place})
    with pytest.raises(CellError, match="its option forget is .*, which is no plain data"):
        to_data(mlstm.with_(forget=torch.sigmoid))


OWN = """
import torch
import carousel as ca

@ca.tensor_cell(states={"A": ("hidden_size", "hidden_size")}, shapes={"W": ("hidden_size", "input_size")})
def hebb(x, A, p, *, decay=0.9):
    v = torch.tanh(p.W @ x)
    A = decay * A + v[:, :, None] * v[:, None, :]
    return (A @ v[:, :, None]).squeeze(-1), A
"""


def test_a_cell_of_a_users_file(tmp_path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    hebb = cells.load(f"{path}:hebb")
    layer = ca.Recurrent(hebb.with_(decay=0.5), 3, 4)
    again = pickle.loads(pickle.dumps(layer))
    x = torch.randn(5, 2, 3)
    assert_close(again(x)[0], layer(x)[0])
    assert "A = decay * A" in str(hebb) and "(hidden_size, hidden_size)" in str(hebb)
    with pytest.raises(CellError, match="hebb cannot be stored: it is a function on tensors, and a model folder holds"):
        to_data(hebb)


def test_a_forecast(tmp_path) -> None:
    import pandas as pd

    table = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=150, freq="D"), "value": range(150)})
    model = ca.Forecaster("value", horizon=3, time="time", cell="mlstm", hidden_size=8, epochs=1)
    model.fit(table)
    model.save(tmp_path / "model")
    again = ca.Forecaster.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict(table), model.predict(table))
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(CellError, match="hebb cannot be stored"):
        ca.Forecaster("value", horizon=3, time="time", cell=f"{tmp_path / 'own.py'}:hebb").fit(table)


# -- the law of the mass-conserving LSTM


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS["mass_conserving_lstm"], ids=str)
def test_mass_is_conserved_at_each_step(options: dict, dtype: torch.dtype) -> None:
    cell = mass_conserving_lstm.with_(**options)
    call = make_call(cell, {"input_size": 4, "hidden_size": 6}, 30, 3, dtype=dtype)
    x, masses = call.x.detach().abs(), cell.options["masses"]
    layer = ca.Recurrent(cell, 4, 6, dtype=dtype)
    layer.load_state_dict({f"{name}_l0": 3 * value.detach() for name, value in call.params.items()})
    y, _, seen = layer(x, record=("c",))
    stored = seen["c"][0].sum(-1)
    before = torch.cat([torch.zeros_like(stored[:1]), stored[:-1]])
    arrived = before + x[..., :masses].sum(-1)
    assert ((stored + y.sum(-1) - arrived).abs() <= 8 * torch.finfo(dtype).eps * arrived).all()
    assert (seen["c"] >= 0).all() and (y >= 0).all()


def test_sigmoids_and_positive_parts_as_the_authors_have_them() -> None:
    """Where each column has a positive part: otherwise theirs loses the mass."""
    cell = mass_conserving_lstm.with_(spread="sigmoid", move="relu")
    call = make_call(cell, {"input_size": 3, "hidden_size": 4}, 4, 2, frozen=("initial",))
    with torch.no_grad():
        call.params["b_r"] += 3
    y, final, _ = engines.scan("eager", cell, call.sizes, call.x, call.hx, call.params, **NOTHING)
    want, ends = run_neuralhydrology(call.params, call.x, call.hx)
    found, wanted = {"y": y, "c": final[0]}, {"y": want, "c": ends[0]}
    close(found | gradients(found, call), wanted | gradients(wanted, call), "against neuralhydrology")


def test_mass_stays_where_no_entry_is_positive() -> None:
    cell = mass_conserving_lstm.with_(move="relu", spread="relu")
    layer = ca.Recurrent(cell, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        for name in ("b_i_l0", "b_r_l0"):
            getattr(layer, name).fill_(-100.0)
    y, (c,) = layer(torch.ones(4, 1, 2, dtype=torch.float64))
    assert_close(y.sum() + c.sum(), torch.tensor(4.0, dtype=torch.float64))
