"""Second oracles: cells that the registry compares with one library agree with others too, and pass ONNX's tests."""

from __future__ import annotations

import numpy
import onnx
import pytest
import torch
from onnx.backend.test.case import node as onnx_cases
from onnx.backend.test.case import test_case
from onnx.backend.test.case.node import gru as _gru  # noqa: F401 (its import makes its cases)
from onnx.backend.test.case.node import lstm as _lstm  # noqa: F401
from onnx.backend.test.case.node import rnn as _rnn  # noqa: F401
from torch import Tensor

from carousel import cells, engines
from carousel.graph import Cell
from oracles import torch_nn
from oracles.common import Found, Oracle, differences
from oracles.keras_layers import PEERS
from oracles.onnx_operators import onnx_gru
from runs import ENGINES, Call, close, gradients, make_call, scan, weighed

every_engine = pytest.mark.parametrize("engine", ENGINES)


def named(found: Found) -> dict[str, Tensor]:
    y, final = found
    return {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}


def ours(engine: str, cell: Cell, call: Call) -> dict[str, Tensor]:
    return scan(engines.PREFERENCE[engine].scan, cell, call, ())


@every_engine
@pytest.mark.parametrize("name", PEERS)
def test_keras_says_the_same(name: str, engine: str) -> None:
    """Outputs, states and gradients; in float32, the only precision in which Keras multiplies on this backend."""
    cell = cells.get(name)
    call = make_call(cell, {"input_size": 3, "hidden_size": 4}, 5, 2, frozen=("initial",), dtype=torch.float32)
    want = named(PEERS[name](call.params, call.x, call.hx))
    close(ours(engine, cell, call), want | gradients(want, call), f"{name} against Keras")


@every_engine
def test_entity_aware_lstm_is_pytorchs_lstm_whose_input_gate_sees_the_entity_alone(engine: str) -> None:
    cell = cells.entity_aware_lstm
    call = make_call(cell, {"input_size": 3, "hidden_size": 4, "static_size": 2}, 5, 2, frozen=("initial",))
    want = named(torch_nn.entity_aware_lstm(call.params, call.x, call.hx, **call.sides))
    close(ours(engine, cell, call), want | gradients(want, call), "entity_aware_lstm against torch.nn.LSTM")


@every_engine
def test_gru_as_onnx_has_it(engine: str) -> None:
    oracle: Oracle = onnx_gru(linear_before_reset=1)
    call = make_call(cells.gru, {"input_size": 2, "hidden_size": 3}, 4, 2, frozen=("initial",))
    found = ours(engine, cells.gru, call)
    close(found, named(oracle(call.params, call.x, call.hx)), "gru against ONNX")
    for name, leaf in call.leaves().items():

        def loss() -> Tensor:
            return weighed(named(oracle(call.params, call.x, call.hx)).values(), call.seed)

        torch.testing.assert_close(found[f"d {name}"], differences(loss, leaf), atol=1e-7, rtol=1e-6)


# -- ONNX's own node tests: what a backend of ONNX must give for these inputs

GATES = {"LSTM": "iofc", "GRU": "zrn", "RNN": ("",)}  # in the order of ONNX's rows
CASES = [case for case in onnx_cases._NodeTestCases if case.model and case.model.graph.node[0].op_type in GATES]


def test_there_are_onnx_cases() -> None:
    assert len(CASES) >= 18


@every_engine
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_onnx_node_test(case: test_case.TestCase, engine: str) -> None:
    node = case.model.graph.node[0]
    options = {"direction": b"forward", "layout": 0}
    options |= {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert set(options) == {"direction", "layout", "hidden_size"}, "an option that is not read"
    given, expected = case.data_sets[0]
    inputs = dict(zip((name for name in node.input if name), map(torch.tensor, given), strict=True))
    found = dict(zip(["Y", "Y_h", "Y_c"], run_case(engine, node.op_type, inputs, options), strict=False))
    for name, value in zip((name for name in node.output if name), expected, strict=True):
        numpy.testing.assert_allclose(found[name].numpy(), value, rtol=1e-3, atol=1e-7)  # what ONNX asks of a backend


def run_case(engine: str, op: str, inputs: dict[str, Tensor], options: dict) -> list[Tensor]:
    """Y and the last states as the operator lays them out: directions before the batch, or behind it in layout 1."""
    cell = {"LSTM": cells.lstm, "GRU": cells.gru_reset_before, "RNN": cells.elman}[op]
    if "P" in inputs:
        cell = cells.peephole_lstm
    x = inputs["X"].transpose(0, 1) if options["layout"] else inputs["X"]
    H, B = options["hidden_size"], x.shape[1]
    runs = []
    for d in range(len(inputs["W"])):
        reverse = d == 1 or options["direction"] == b"reverse"
        starts = [inputs.get(f"initial_{state}", x.new_zeros(d + 1, B, H))[d] for state in cell.states]
        y, final, _ = engines.PREFERENCE[engine].scan(
            cell,
            {"input_size": x.shape[-1], "hidden_size": H},
            x,
            tuple(starts),
            parameters(op, inputs, d, H),
            sides={},
            lengths=inputs["sequence_lens"].long() if "sequence_lens" in inputs else None,
            resets=None,
            initial=tuple(x.new_zeros(H) for _ in cell.states),
            reverse=reverse,
        )
        runs.append((y, *final))
    y, *final = (torch.stack(values, 1 if k == 0 else 0) for k, values in enumerate(zip(*runs, strict=True)))
    return [y.permute(2, 0, 1, 3), *(h.transpose(0, 1) for h in final)] if options["layout"] else [y, *final]


def parameters(op: str, inputs: dict[str, Tensor], d: int, H: int) -> dict[str, Tensor]:
    """Our parameters of one direction: ONNX has the gates one below the other, and two biases for each."""
    gates = GATES[op]
    W, R = inputs["W"][d].split(H), inputs["R"][d].split(H)
    of_x, of_h = inputs.get("B", W[0].new_zeros(d + 1, 2 * len(gates) * H))[d].view(2, len(gates), H)
    found = {}
    for k, gate in enumerate(gates):
        end = f"_{gate}" if gate else ""
        found |= {f"W{end}": W[k], f"U{end}": R[k], f"b{end}": of_x[k] + of_h[k]}
    if "P" in inputs:
        found |= dict(zip(("V_i", "V_o", "V_f"), inputs["P"][d].split(H), strict=True))
    return found
