"""The derived programs, run by the plain numpy executor: planning is right whatever the core does."""

import json

import pytest
import torch

import carousel as ca
import numpy_core
import zoo
from carousel.engines import eager, native, native_call
from carousel.graph import sigmoid, split, tanh
from carousel.graph.passes.compiling import leaves, programs
from test_engine_eager import LENGTHS, both, compare, some_resets


@pytest.fixture(autouse=True)
def numpy_programs(monkeypatch):
    """Plans parsed here run in numpy, and are forgotten afterwards."""
    monkeypatch.setattr(native_call, "_core", numpy_core)
    native_call.parse.cache_clear()
    yield
    native_call.parse.cache_clear()


@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_programs_agree_with_the_step_graph(cell, reverse):
    names = tuple(cell.step.names)
    options = {"lengths": LENGTHS, "resets": some_resets(), "reverse": reverse}
    compare(both(cell, native.scan, eager.scan, record=names, **options))


@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
def test_inference_programs_agree_too(cell):
    from test_engine_eager import case

    sizes, x, hx, params, sides, initial = case(cell)
    options = {"sides": sides, "lengths": None, "resets": None, "initial": initial}
    with torch.no_grad():
        y, final, _ = native.scan(cell, sizes, x, hx, params, **options)
        expected, expected_final, _ = eager.scan(cell, sizes, x, hx, params, **options)
    torch.testing.assert_close((y, final), (expected, expected_final))


def lstm_programs(input_size=48):
    from carousel.cells import lstm

    sizes = (("hidden_size", 32), ("input_size", input_size))
    return json.loads(programs(lstm, sizes, (), frozenset(leaves(lstm, sizes, ()))))


def test_the_lstm_keeps_its_gates_and_c():
    externals = lstm_programs()["forward"]["externals"]
    kept = [name for _, role, name in externals if role == "keep"]
    assert kept == ["state:1", "keep:0", "keep:1", "keep:2", "keep:3"]


def test_the_input_projection_leaves_the_loop_and_products_stand_together():
    forward = lstm_programs()["forward"]
    (before,), (loop,) = forward["before"], forward["loop"]
    assert len(before[2]) == 4 and before[3] == []
    assert len(loop[2]) == 4 and len(loop[3]) == 8  # instructions
    assert forward["after"] == []


def test_a_narrow_input_is_one_more_term_in_the_loop():
    forward = lstm_programs(input_size=3)["forward"]
    (loop,) = forward["loop"]
    assert forward["before"] == [] and [len(terms) for _, _, terms in loop[2]] == [2] * 4


def test_slices_and_heads_are_no_phases_of_their_own():
    def splitting(x, h, c, p):
        i, f, g, o = split(p.W @ x + p.U @ h + p.b, h, h, h, h)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    sizes = (("hidden_size", 32), ("input_size", 48))
    for cell, phases in ((ca.cell(splitting), 2), (ca.cells.slstm, 2)):
        made = json.loads(programs(cell, sizes, (), frozenset(leaves(cell, sizes, ()))))
        for side in ("forward", "backward"):
            assert [phase[0] for phase in made[side]["loop"]] == ["tile"] * phases


def test_what_is_dear_to_compute_again_is_kept():
    """FastGRNN's gate and candidate, and not the sum that both are computed from."""
    sizes = (("hidden_size", 32), ("input_size", 48))
    cell = ca.cells.fast_grnn
    backward = json.loads(programs(cell, sizes, (), frozenset(leaves(cell, sizes, ()))))["backward"]
    assert not {"sigmoid", "tanh"} & {op for phase in backward["loop"] for op, *_ in phase[3]}


def test_backward_is_two_phases_a_step():
    backward = lstm_programs()["backward"]
    gates, carry = backward["loop"]
    assert gates[2] == [] and len(gates[3]) <= 14
    assert carry[3] == [] and len(carry[2]) == 1 and len(carry[2][0][2]) == 4  # joined along its inner width


def test_frozen_parameters_cost_nothing():
    from carousel.cells import lstm

    sizes = (("hidden_size", 32), ("input_size", 16))
    (x,) = [leaf for leaf in leaves(lstm, sizes, ()) if leaf[0] == "step"]
    backward = json.loads(programs(lstm, sizes, (), frozenset([x])))["backward"]
    assert backward["reduce"] == []
