"""Transforms of cells: on every registered cell, on every engine, one after the other, stored and called in cells."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import carousel as ca
from carousel import cells, engines
from carousel.errors import CellError
from carousel.graph import Cell
from carousel.graph.storing import from_data, to_data
from carousel.graph.transforming.rewriting import Transformed
from equations import calls, equations
from reference import naive_scan
from runs import ENGINES, close, make_call, scan
from test_random_equations import SLOW_TO_DRAW, compare

CELLS = [entry.cell for entry in cells.entries() if isinstance(entry.cell, Cell)]
SIZES = {"input_size": 3, "hidden_size": 4}


def possible(transform: Callable[..., Cell], cell: Cell, names: Iterable[str]) -> list[str]:
    """The names that the transform takes of the cell."""

    def takes(name: str) -> bool:
        try:
            transform(cell, **{name: 0.4})
        except ValueError:
            return False
        return True

    return [name for name in names if takes(name)]


def variational(cell: Cell) -> Cell:
    names = possible(ca.variational_dropout, cell, (cell.input, *cell.states, *cell.sides))
    return ca.variational_dropout(cell, **dict.fromkeys(names, 0.4))


def recurrent(cell: Cell) -> Cell:
    """Of the candidates, else of one quantity: what is scaled up may leave where the equations make sense."""
    candidates = [name for name, n in cell.step.names.items() if cell.step.nodes[n].op == "tanh"]
    names = possible(ca.recurrent_dropout, cell, candidates)
    names = names or possible(ca.recurrent_dropout, cell, cell.step.names)[:1]
    return ca.recurrent_dropout(cell, **dict.fromkeys(names, 0.4))


def zoned_out(cell: Cell) -> Cell:
    """Every state that starts from a number: of the others there is no expectation."""
    names = [state for state in cell.states if math.isfinite(cell.initial[state])]
    return ca.zoneout(cell, **dict.fromkeys(names, 0.3))


TRANSFORMS: dict[str, Callable[[Cell], Cell]] = {
    "zoneout": zoned_out,
    "variational_dropout": variational,
    "recurrent_dropout": recurrent,
    "layer_normalized": lambda cell: ca.layer_normalized(cell, eps=0.1),
    "clip_states": lambda cell: ca.clip_states(cell, **dict.fromkeys(cell.states, 0.6)),
    "clip_gradients": lambda cell: ca.clip_gradients(cell, 0.05),
}
every_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


def call_of(cell: Cell, **keywords):
    sizes = {name: SIZES.get(name, 2) for name in cell.sizes}
    return make_call(cell, sizes, 3, 3, **keywords)


def outputs(engine: str, cell: Cell, call) -> dict[str, Tensor]:
    return scan(engines.PREFERENCE[engine].scan, cell, call, ())


@pytest.mark.parametrize("name", TRANSFORMS)
@every_cell
def test_every_engine_computes_what_plain_tensors_do(cell: Cell, name: str) -> None:
    try:
        made = TRANSFORMS[name](cell)
    except (TypeError, ValueError) as error:
        assert "nothing is named" in str(error) or "no matrix product" in str(error)
        pytest.skip(str(error))
    reverse = len(cell.name) % 2 == 1  # half of the cells in each direction
    call = call_of(made, lengths=(3, 0, 2), resets=0.3, reverse=reverse)
    want = scan(naive_scan, made, call, ())
    for engine in ENGINES:
        close(outputs(engine, made, call), want, f"{made.name} on {engine}")


@every_cell
def test_two_follow_each_other(cell: Cell) -> None:
    """Smooth ones, against finite differences."""
    made = TRANSFORMS["zoneout"](cell)
    if any(node.op == "matmul" for node in cell.step.nodes):
        made = TRANSFORMS["layer_normalized"](made)
    assert isinstance(made, Transformed) and set(cell.step.names) <= set(made.step.names)
    if any(node.op == "stop" for node in cell.step.nodes):
        return
    call = call_of(made, resets=0.3)

    def everything(*_: Tensor) -> tuple[Tensor, ...]:
        y, final, _ = engines.PREFERENCE[ENGINES[-1]].scan(
            made, call.sizes, call.x, call.hx, call.params,
            sides=call.sides, lengths=call.lengths, resets=call.resets, initial=call.initial,
        )  # fmt: skip
        return (y, *final)

    torch.autograd.gradcheck(everything, tuple(call.leaves().values()), fast_mode=True)


def five() -> Cell:
    made = ca.layer_normalized(ca.variational_dropout(cells.lstm, x=0.2, h=0.3), "c")
    return ca.zoneout(ca.clip_states(ca.clip_gradients(made, 0.05), c=0.5), h=0.1)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_five_follow_each_other(reverse: bool) -> None:
    made = five()
    assert made.name == "zoneout(clip_states(clip_gradients(layer_normalized(variational_dropout(lstm)))))"
    call = call_of(made, lengths=(3, 0, 2), resets=0.3, reverse=reverse)
    want = scan(naive_scan, made, call, ("h", "c"))
    for engine in ENGINES:
        close(scan(engines.PREFERENCE[engine].scan, made, call, ("h", "c")), want, engine)


@settings(max_examples=60, suppress_health_check=SLOW_TO_DRAW)
@given(st.data())
def test_of_equations_drawn_at_random(data: st.DataObject) -> None:
    """One transform, or two, of cells with side inputs, blocks, options of every width, and outputs of their own."""
    drawn = data.draw(equations())
    cell = drawn.cell
    for name in data.draw(st.lists(st.sampled_from(sorted(TRANSFORMS)), min_size=1, max_size=2, unique=True)):
        try:
            cell = TRANSFORMS[name](cell)
        except (TypeError, ValueError) as error:  # nothing that it could change
            assert "named" in str(error) or "no matrix product" in str(error) or "already" in str(error)
    compare(replace(drawn, cell=cell), data.draw(calls(replace(drawn, cell=cell))))


# -- as an object


def test_they_pickle() -> None:
    made = five()
    again = pickle.loads(pickle.dumps(made))
    assert isinstance(again, Transformed) and again.inner.name == made.inner.name
    assert to_data(again) == to_data(made)
    layer = ca.Recurrent(made, 3, 4, num_layers=2, bidirectional=True).eval()
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(x), layer(x), rtol=0, atol=0)


def test_they_are_stored_as_data() -> None:
    made = five()
    stored = from_data(json.loads(json.dumps(to_data(made))))
    call = call_of(made)
    close(outputs("eager", stored, call), outputs("eager", made, call), "stored")

    @ca.cell
    def local(x, h, p):
        return ca.tanh(p.W @ x + p.U @ h)

    again = pickle.loads(pickle.dumps(ca.zoneout(local, h=0.1)))  # the local function is not found again
    assert again.name == "zoneout(local)" and again.sides["zoneout_h"].keep == 0.1
    with pytest.raises(CellError, match="loaded without its source"):
        again.fn  # noqa: B018


def test_they_are_shown() -> None:
    made = ca.zoneout(cells.lstm, h=0.1, c=0.05)
    assert repr(made) == "<cell zoneout(lstm)(x, h, c)>"
    text = str(made)
    assert "c = f * c + i * g" in text and "zoneout: each unit of h keeps its old value with probability 0.1" in text
    assert r"h_t &= \mathrm{zoneout}_{h,t} \odot h_{t-1}" in made.latex()
    assert r"\operatorname{clipgrad}(h_{t-1}, 10)" in ca.clip_gradients(cells.lstm, h=10.0).latex()


def test_options_of_the_cell_are_still_there() -> None:
    made = ca.layer_normalized(cells.elman).with_(f=ca.relu)
    assert made.name == "layer_normalized(elman)"
    assert [node.op for node in made.step.nodes].count("relu") == 1
    assert pickle.loads(pickle.dumps(made)).options["f"] is ca.relu
    p = ca.plain({name: torch.ones(shape) for name, shape in made.shapes(input_size=2, hidden_size=2).items()})
    x, h = torch.randn(1, 2), torch.zeros(1, 2)
    given = ca.layer_normalized(cells.elman)(x, h, p, f=ca.relu)
    torch.testing.assert_close(given, made(x, h, p))


def test_names_are_recorded() -> None:
    made = ca.zoneout(cells.lstm, h=0.4)
    layer = ca.Recurrent(made, 3, 4)
    _, _, seen = layer(torch.randn(5, 2, 3), record=("f", "h", "zoneout_h"))
    assert set(seen["zoneout_h"].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(seen["zoneout_h"], layer(torch.randn(5, 2, 3), record=("zoneout_h",))[2]["zoneout_h"])
    assert layer.eval()(torch.randn(5, 2, 3), record=("zoneout_h",))[2]["zoneout_h"].unique().item() == pytest.approx(
        0.4
    )


INLINED = [cells.lstm, cells.projected_lstm, cells.slstm, cells.lstm_1997, cells.layer_norm_lstm]


@pytest.mark.parametrize("inner", INLINED, ids=lambda c: c.name)
def test_they_are_called_inside_other_cells(inner: Cell) -> None:
    """Inlined, as every cell: what is declared of it holds, widths are those of the place where it stands."""
    made = ca.clip_states(ca.layer_normalized(inner, eps=0.1), **{inner.states[1]: 0.4})
    source = f"def around(x, {', '.join(inner.states)}, p):\n    return made(p.V @ x, {', '.join(inner.states)}, p)\n"
    namespace = {"made": made}
    exec(source, namespace)
    widths = {s: str(inner.step.nodes[k].width) for s, k in zip(inner.states, inner.step.outputs, strict=True)}
    outer = ca.cell(widths=widths)(namespace["around"])
    assert outer.init.keys() >= {name for name in made.step.parameters if name.startswith("gain_")}
    assert any(name.endswith(f".{inner.states[1]}") for name in outer.step.names)
    call = call_of(outer)
    close(outputs(ENGINES[-1], outer, call), scan(naive_scan, outer, call, ()), outer.name)


# -- what is refused


def test_refusals() -> None:
    lstm = cells.lstm
    with pytest.raises(TypeError, match="zoneout: nothing is named; of lstm it can be: h, c"):
        ca.zoneout(lstm)
    with pytest.raises(ValueError, match="zoneout: 'x' cannot be named of lstm"):
        ca.zoneout(lstm, x=0.1)
    with pytest.raises(ValueError, match="zoneout: h is 1.0, expected a probability"):
        ca.zoneout(lstm, h=1.0)
    with pytest.raises(ValueError, match="'c' cannot be named of lstm; it can be: x, h"):
        ca.variational_dropout(lstm, c=0.1)
    with pytest.raises(ValueError, match="lstm\\) has dropout_h already"):
        ca.variational_dropout(ca.variational_dropout(lstm, h=0.1), h=0.1)
    with pytest.raises(ValueError, match="'W_f' cannot be named"):
        ca.recurrent_dropout(lstm, W_f=0.1)
    with pytest.raises(ValueError, match="'h' is no quantity of lstm that its equations read again"):
        ca.layer_normalized(lstm, "h")
    with pytest.raises(ValueError, match="clip_states: c is -1, expected a positive number"):
        ca.clip_states(lstm, c=-1)
    with pytest.raises(TypeError, match="clip_gradients: nothing is named"):
        ca.clip_gradients(lstm)
    with pytest.raises(TypeError, match="a function was given, expected a cell"):
        ca.zoneout(lstm.fn, h=0.1)
    assert not ca.zoneout(lstm, h=0.0).sides


def test_clip_gradient_stands_on_a_state() -> None:
    with pytest.raises(CellError, match="clip_gradient stands on what no state enters"):

        @ca.cell
        def wrong(x, h, p):
            return ca.tanh(ca.clip_gradient(p.W @ x, 1.0) + p.U @ h)

    with pytest.raises(ValueError, match="the bound is 0"):
        ca.clip_gradient(torch.zeros(1), 0)
