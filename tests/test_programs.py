"""The derived programs, run by the plain numpy executor: planning is right whatever the core does."""

import json

import pytest
import torch

import numpy_core
import zoo
from carousel.engines import eager, native, native_call
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


def lstm_programs():
    from carousel.cells import lstm

    sizes = (("hidden_size", 32), ("input_size", 16))
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
