"""What a cell says about itself: names, widths, parameters from use, options, cells inside cells."""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

import dataclasses
import functools
import json
import math
import pickle

import pytest
import torch

import zoo
from carousel import cells
from carousel.cells import gru, lstm
from carousel.errors import CellError
from carousel.graph import (
    Side,
    Width,
    cell,
    concat,
    mask,
    mean,
    per_step,
    plain,
    relu,
    sigmoid,
    split,
    static,
    step_index,
    tanh,
    where,
)
from carousel.graph.step import Parameter
from carousel.graph.storing import from_data, to_data
from carousel.layers import Recurrent
from carousel.layers.initial import undrawn
from tolerances import assert_close


def test_names_mean_the_last_assignment():
    @cell
    def twice(x, h, p):
        a = p.W @ x
        first = a
        a = tanh(a + h)
        b = a * first
        return a + b

    nodes, names = twice.step.nodes, twice.step.names
    assert nodes[names["a"]].op == "tanh"
    assert nodes[names["first"]].op == "matmul" and nodes[names["first"]].names == ["a", "first"]
    assert names["h"] == twice.step.outputs[0] == twice.step.output
    assert nodes[names["x"]].op == "input"


def test_names_after_the_last_operation_and_in_helpers():
    def gate(w, v):
        inner = w @ v
        return sigmoid(inner)

    @cell
    def named(x, h, p):
        f = gate(p.W, x)
        h = f * h
        also = h
        return also

    assert "inner" not in named.step.names
    assert named.step.names["also"] == named.step.names["h"]


def test_names_of_parameter_expressions():
    @cell
    def leaky(x, h, p):
        tau = 1 + p.t * p.t
        A = p.A - p.A.T
        return h / tau + A @ tanh(p.W @ x)

    step = leaky.step
    assert step.nodes[step.names["tau"]].op == "add"
    assert "A" not in step.names  # a matrix is not something to record
    assert step.nodes[step.names["h"]].op == "add"


def test_widths_are_symbols():
    @cell(widths={"m": "mlp_size"})
    def deep(x, h, p, *, e=per_step("event_size"), s=static(3)):
        m = relu(p.W @ x + p.U @ h)
        both = concat(m, e, s)
        return tanh(p.V @ both) * mean(m)

    assert deep.sizes == ("input_size", "hidden_size", "event_size", "mlp_size")
    both = deep.step.nodes[deep.step.names["both"]].width
    assert both == Width.of("event_size + mlp_size + 3") and str(both) == "event_size + mlp_size + 3"
    sizes = {"input_size": 2, "hidden_size": 4, "event_size": 5, "mlp_size": 6}
    assert deep.shapes(**sizes) == {"W": (6, 2), "U": (6, 4), "V": (4, 14)}
    assert deep.side_width("s", **sizes) == 3 and deep.side_width("e", **sizes) == 5


def test_open_widths_are_hidden_size():
    @cell
    def open_inside(x, h, p):
        return p.C @ relu(p.A @ x)

    assert open_inside.shapes(input_size=2, hidden_size=4) == {"C": (4, 4), "A": (4, 2)}


def test_split_fixes_the_width_of_a_product():
    @cell
    def fused(x, h, c, p):
        f, g, m = split(p.W @ x, h, h, 1)
        c = sigmoid(f) * c + m
        return tanh(g) * c, c

    assert fused.shapes(input_size=2, hidden_size=4) == {"W": (9, 2)}
    slices = [n for n in fused.step.nodes if n.op == "slice"]
    assert [(str(n.attr["start"]), str(n.attr["stop"])) for n in slices] == [
        ("0", "hidden_size"),
        ("hidden_size", "2*hidden_size"),
        ("2*hidden_size", "2*hidden_size + 1"),
    ]


def test_only_what_is_literally_one_wide_broadcasts():
    @cell(widths={"n": 1})
    def counter(x, h, n, p, *, dt):
        n = n + dt
        return tanh(p.W @ x + h * n + p.b * dt), n

    assert counter.state_widths(input_size=3, hidden_size=1) == (1, 1)
    assert counter.step.nodes[counter.step.names["n"]].width == Width.of(1)


def test_parameters_from_use():
    @cell(shapes={"zeta": (), "D": ("hidden_size", "input_size")})
    def mixed(x, h, p):
        A = p.zeta * (p.A - p.A.T) + p.R
        return sigmoid(p.zeta) * tanh(A @ h + p.D @ x + p.B.blocks(2) @ h + p.v * h)

    kinds = {name: (q.kind, q.symbolic()) for name, q in mixed.step.parameters.items()}
    square = ("matrix", "(hidden_size, hidden_size)")
    assert kinds == {
        "zeta": ("scalar", "()"),
        "A": square,
        "R": square,
        "D": ("matrix", "(hidden_size, input_size)"),
        "B": ("matrix", "(2, hidden_size/2, hidden_size/2)"),
        "v": ("vector", "(hidden_size,)"),
    }
    assert isinstance(mixed.step.parameters["A"], Parameter)
    assert mixed.shapes(input_size=3, hidden_size=4)["zeta"] == ()
    matrices = [n for n in mixed.step.nodes if isinstance(n.width, tuple)]
    assert {n.op for n in matrices} == {"parameter", "transpose", "sub", "mul", "add"}
    assert [n.attr["heads"] for n in mixed.step.nodes if n.op == "matmul"] == [1, 1, 2]


def test_powers():
    @cell
    def powers(x, h, p):
        return tanh(p.W @ x) ** 3 + (h**2 + 1) ** 0.5

    assert [n.op for n in powers.step.nodes if n.op in ("mul", "sqrt")] == ["mul", "mul", "mul", "sqrt"]


def test_side_inputs():
    @cell
    def sided(x, h, p, *, dt, e=per_step("event_size"), s=static("static_size"), m=mask("hidden_size"), t=step_index()):
        return m * tanh(p.W @ x + p.E @ e + p.S @ s + p.v * dt + h * t)

    assert sided.sides["dt"] == Side("step", 1)
    assert sided.sides["e"] == Side("step", "event_size")
    assert sided.sides["s"] == Side("sequence", "static_size")
    assert sided.sides["m"] == Side("step", "hidden_size", keep=0.9, scaled=True)
    assert sided.time == "t" and "t" not in sided.sides and not sided.options
    assert [n.op for n in sided.step.nodes[:7]] == ["input", "state", "side", "side", "side", "side", "time"]


def test_an_output_that_does_not_recur():
    @cell
    def readout(x, h, p):
        h = tanh(p.W @ x + p.U @ h)
        y = p.V @ h - x
        return y, h

    assert readout.step.output not in readout.step.outputs
    assert readout.output_width(input_size=3, hidden_size=4) == 3
    assert readout.state_widths(input_size=3, hidden_size=4) == (4,)


def test_options():
    @cell
    def optional(x, h, p, *, out=tanh, bias=True):
        return out(p.W @ x + h + (p.b if bias else 0))

    plainer = optional.with_(bias=False)
    assert list(optional.step.parameters) == ["W", "b"] and list(plainer.step.parameters) == ["W"]
    assert plainer.with_(out=relu).options == {"out": relu, "bias": False}
    assert optional.options == {"out": tanh, "bias": True}
    assert repr(plainer) == "<cell optional(x, h, out=tanh, bias=False)>"


def test_a_cell_inside_a_cell():
    @cell
    def highway(x, h, c, p):
        y, c = lstm(x, h, c, p)
        k = sigmoid(p.T @ x)
        h = k * y + (1 - k) * h
        return h, c

    names = highway.step.names
    assert {"lstm.f", "lstm.i", "lstm.g", "lstm.o", "k", "y"} <= set(names)
    assert names["lstm.h"] == names["y"]
    assert list(highway.step.parameters) == [*lstm.step.parameters, "T"]

    def twice(x, h, p):
        h = gru(x, h, p)
        return gru(h, h, p)

    with pytest.raises(CellError, match=r"in gru_2, called at line \d+: return gru\(h, h, p\)"):
        cell(twice)
    twice = cell(widths={"x": "hidden_size"})(twice)

    assert {"gru.r", "gru_2.r"} <= set(twice.step.names)
    assert (
        twice.sizes == ("input_size", "hidden_size") if twice.step.nodes[0].width == Width.of("hidden_size") else True
    )


def test_a_cell_inside_takes_its_declarations_along():
    @cell(initial={"m": -5.0}, init={"W_*": 0.5, "b": [1.0, 2.0]}, fixed={"b": 0.0}, widths={"r": "rank"})
    def inner(x, h, m, p):
        r = p.W_r @ x
        return tanh(p.U @ r + p.b + h * m), where(m > h, m, h)

    @cell(init={"W_r": 0.25})
    def outer(x, state, stabiliser, p):
        new, stabiliser = inner(x, state, stabiliser, p)
        return new + state, stabiliser

    assert outer.initial == {"state": 0.0, "stabiliser": -5.0}
    assert outer.init == {"W_r": 0.25, "b": [1.0, 2.0]} and outer.fixed == {"b": 0.0}
    assert outer.fixed_value("b") == 0.0 and outer.fixed_value("U") is None
    assert "rank" in outer.sizes


def test_zoneout_around_any_cell():
    def zoned(inner):
        """The signature is written, since it is what declares states and masks."""

        def zoneout(x, h, c, p, *, keep_h=mask("hidden_size", scaled=False)):
            h_new, c = inner(x, h, c, p)
            return keep_h * h_new + (1 - keep_h) * h, c

        return cell(zoneout)

    made = zoned(cells.peephole_lstm)
    assert "peephole_lstm.f" in made.step.names
    again = pickle.loads(pickle.dumps(made))  # nothing can be imported here: the stored step serves
    assert again.step == dataclasses.replace(made.step, nodes=again.step.nodes, parameters=again.step.parameters)
    with pytest.raises(CellError, match="loaded without its source"):
        again.with_()


def test_an_inner_value_that_is_not_used_is_left_out():
    @cell
    def first_only(x, h, p):
        a, b = two(x, h, p)
        return a

    @cell
    def unused(x, h, p):
        y, h = two.with_()(x, h, p)
        return h + y

    assert all(n.op != "cos" for n in first_only.step.nodes)
    assert unused.step.names["two.h"]


@cell
def two(x, h, p):
    """An output that does not recur, beside the state."""
    h = tanh(p.W @ x + p.U @ h)
    return 2 * h, h


def test_on_plain_tensors():
    torch.manual_seed(0)
    sizes = {"input_size": 3, "hidden_size": 4}
    parameters = {name: torch.randn(shape, dtype=torch.float64) for name, shape in lstm.shapes(**sizes).items()}
    x, h, c = (torch.randn(2, n, dtype=torch.float64) for n in (3, 4, 4))
    h_new, c_new = lstm(x, h, c, plain(parameters))
    gates = torch.nn.LSTMCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        for name, weight in (("W", gates.weight_ih), ("U", gates.weight_hh), ("b", gates.bias_ih)):
            weight.copy_(torch.cat([parameters[f"{name}_{k}"] for k in "ifco"]))
        gates.bias_hh.zero_()
        assert_close((h_new, c_new), gates(x, (h, c)))
    with pytest.raises(ValueError, match="p.b_f, which is not among the parameters. Did you mean b_"):
        lstm(x, h, c, plain({name: v for name, v in parameters.items() if name != "b_f"}))


def test_registry():
    assert cells.get("lstm") is lstm and "lstm" in cells.names()
    for entry in cells.entries():
        assert entry.cell.name == entry.name and cells.get(entry.name) is entry.cell
        assert 1980 < entry.year < 2030 and entry.cell is cells.get(entry.name)
    with pytest.raises(ValueError, match="Did you mean 'lstm'"):
        cells.get("lstn")
    with pytest.raises(ValueError, match="FILE.py:NAME"):
        cells.get("nothing at all")


def test_options_in_brackets():
    assert cells.load("elman(f=relu)").options["f"] is relu
    assert cells.load("clockwork_rnn(periods=(1, 3))").options["periods"] == (1, 3)
    assert cells.load("lstm_1997(truncate=True, biased='')").options == {"truncate": True, "biased": ""}
    for spec, expected in [
        ("slstm(2)", r"expected options by name in the brackets, such as slstm\(heads=2\)"),
        ("elman(f=os.system)", "f=os.system is neither a number, a string or the like nor a function"),
        ("elman(f=__import__('os'))", "is neither a number"),
    ]:
        with pytest.raises(ValueError, match=expected):
            cells.load(spec)
    with pytest.raises(ValueError, match="there is no option 'head'. Did you mean 'heads'"):
        cells.load("slstm(head=2)")


OWN = """
import carousel as ca

@ca.cell
def mine(x, h, p):
    return ca.tanh(p.W @ x + p.U @ h)

twisted = 3
"""


def test_cells_of_a_users_file(tmp_path):
    path = tmp_path / "my cells.py"
    path.write_text(OWN)
    mine = cells.load(f"{path}:mine")
    assert mine.name == "mine" and cells.load(f"{path}:mine") is mine
    assert pickle.loads(pickle.dumps(mine)) is mine
    for spec, expected in [
        (f"{path}", "the name is missing"),
        (f"{path}:twisted", "twisted is a int, expected a cell .* mine"),
        (f"{path}:other", "has no other. The cells there are: mine"),
        (f"{tmp_path}/no.py:mine", "there is no file"),
        ("lsmt", "Did you mean 'lstm'"),
    ]:
        with pytest.raises(ValueError, match=expected):
            cells.load(spec)
    (tmp_path / "broken.py").write_text("import carousel as ca\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        cells.load(f"{tmp_path}/broken.py:mine")


def test_declarations_of_the_zoo_are_kept():
    assert zoo.observer.fixed == {"b": 0.0} and zoo.observer.initial == {"h": 0.25, "c": 0.0}
    assert zoo.residual_slstm.initial["m"] == -math.inf
    assert zoo.slstm.with_(heads=2).shapes(input_size=3, hidden_size=8)["R_z"] == (2, 4, 4)


@pytest.mark.parametrize("entry", list(cells.entries()), ids=lambda entry: entry.name)
def test_a_stored_cell_starts_as_it_did(entry):
    """Functions that start parameters are stored by their place in torch.nn.init or in carousel.cells."""
    found = from_data(json.loads(json.dumps(to_data(entry.cell))))
    assert found.init.keys() == entry.cell.init.keys()
    for pattern, how in entry.cell.init.items():
        if not isinstance(how, functools.partial):
            assert found.init[pattern] == how, pattern
        else:
            assert (found.init[pattern].func, found.init[pattern].keywords) == (how.func, how.keywords)


def test_a_start_that_is_gone_is_told_and_weights_load_all_the_same():
    def own_(tensor):
        return tensor.fill_(3)

    @cell(init={"W": own_})
    def mine(x, h, p):
        return tanh(p.W @ x + h)

    found = from_data(to_data(mine))
    with pytest.raises(CellError, match="parameters cannot be drawn anew: the function .*own_ that starts them was"):
        Recurrent(found, 3, 4)
    with undrawn():
        layer = Recurrent(found, 3, 4)
    layer.load_state_dict(Recurrent(mine, 3, 4).state_dict())
    assert (layer.W_l0 == 3).all()
