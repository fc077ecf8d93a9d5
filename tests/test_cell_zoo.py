"""Every cell of the zoo: the traced step, run by the eager engine, is the function run on plain tensors."""

import copy
import pickle

import pytest
import torch

from carousel.engines import eager
from carousel.graph import Cell
from tolerances import assert_close
from zoo import ALL, IDS, parameters_of, run_plain, sides_of, sizes_of, states_of

T, B = 4, 3
every_cell = pytest.mark.parametrize("cell", ALL, ids=IDS)


@every_cell
@pytest.mark.parametrize("changes", [{}, {"hidden_size": 4, "proj_size": 4, "input_size": 1}], ids=["", "square"])
def test_traced_step_equals_the_function(cell, changes):
    torch.manual_seed(0)
    sizes = sizes_of(cell, **changes)
    if cell.step.nodes[0].width.resolve(sizes) != sizes["input_size"]:
        pytest.skip("the equations fix the width of the input")
    parameters, states = parameters_of(cell, sizes), states_of(cell, sizes, B)
    sides = sides_of(cell, sizes, T, B)
    x = torch.randn(T, B, sizes["input_size"], dtype=torch.float64)
    initial = tuple(state[0] for state in states)
    y, final = run_plain(cell, x, states, parameters, sides)
    options = {"sides": sides, "lengths": None, "resets": None, "initial": initial}
    y_eager, final_eager, _ = eager.scan(cell, sizes, x, states, parameters, **options)
    assert_close(y_eager, y)
    assert_close(final_eager, final)


@every_cell
def test_step_is_well_formed(cell):
    nodes = cell.step.nodes
    for index, node in enumerate(nodes):
        assert all(arg < index for arg in node.args)
        assert node.where is not None
    assert [n.op for n in nodes[: 1 + len(cell.states)]] == ["input"] + ["state"] * len(cell.states)
    for k, name in enumerate(cell.states):
        assert cell.step.names[name] == cell.step.outputs[k]
    for name, index in cell.step.names.items():
        assert name in nodes[index].names
    assert cell.sizes[0] == "input_size"


@every_cell
def test_shapes_resolve(cell):
    sizes = sizes_of(cell)
    shapes = cell.shapes(**sizes)
    assert list(shapes) == list(cell.step.parameters)
    used = {n.attr["name"] for n in cell.step.nodes if n.op == "parameter"}
    assert used == set(shapes)
    assert len(cell.state_widths(**sizes)) == len(cell.states)


@every_cell
def test_copies_and_pickles(cell):
    assert copy.deepcopy(cell) is cell
    again = pickle.loads(pickle.dumps(cell))
    assert isinstance(again, Cell)
    assert again.options == cell.options and again.step.names == cell.step.names
    assert pickle.loads(pickle.dumps(cell.step)) == cell.step
