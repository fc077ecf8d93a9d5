"""ONNX's operators, run by its own reference in float64, or by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import onnx
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_lstm
from torch import Tensor

from oracles.common import Found, Oracle, Parameters, stacked

OPEN = 50.0  # of which the sigmoid is 1 to the last bit, in float64 as well


def named_as_onnx(params: Parameters) -> dict[str, Tensor]:
    """ONNX's c is the block input z; a gate that a cell does not have is one that is always open."""
    named = {name.replace("_z", "_c"): value for name, value in params.items()}
    for gate in "iof":
        if f"W_{gate}" not in named:
            named |= {f"{letter}_{gate}": torch.zeros_like(named[f"{letter}_c"]) for letter in "WU"}
            named |= {f"V_{gate}": torch.zeros_like(named["b_c"]), f"b_{gate}": torch.full_like(named["b_c"], OPEN)}
    return named


def onnx_inputs(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> dict[str, numpy.ndarray]:
    """The inputs of ONNX's LSTM: gates in its order i, o, f, c; the peepholes P in the order i, o, f; two biases."""
    params = named_as_onnx(params)
    b = stacked(params, "b", "iofc")
    tensors = {
        "X": x,
        "W": stacked(params, "W", "iofc")[None],
        "R": stacked(params, "U", "iofc")[None],
        "B": torch.cat([b, torch.zeros_like(b)])[None],
        "initial_h": hx[0][None],
        "initial_c": hx[1][None],
        "P": stacked(params, "V", "iof")[None],
    }
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def onnx_lstm(hidden_size: int, dtype: torch.dtype, **attributes: Any) -> onnx.ModelProto:
    """A model that is one LSTM operator with peepholes."""
    inputs = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P"]
    return onnx_model(
        helper.make_node("LSTM", inputs, ["Y", "Y_h", "Y_c"], hidden_size=hidden_size, **attributes), dtype
    )


def onnx_model(node: onnx.NodeProto, dtype: torch.dtype) -> onnx.ModelProto:
    """A model that is this one operator."""
    kind = TensorProto.DOUBLE if dtype == torch.float64 else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        node.op_type,
        [helper.make_tensor_value_info(name, kind, None) for name in node.input if name],
        [helper.make_tensor_value_info(name, kind, None) for name in node.output],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9)


def identity(a: numpy.ndarray) -> numpy.ndarray:
    return a


def asked(g: Any = numpy.tanh, h: Any = numpy.tanh) -> Oracle:
    """ONNX's own reference, which runs in float64, with g for the cell's input and h for its output.

    It reads no `activations` of the operator, so its methods of these names stand in for them.
    """
    functions = {"g": staticmethod(g), "h": staticmethod(h), "op_domain": ""}
    operator = type("LSTM", (op_lstm.LSTM,), functions)

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        model = ReferenceEvaluator(onnx_lstm(hx[0].shape[-1], x.dtype), new_ops=[operator])
        found = model.run(None, onnx_inputs(params, x, hx))
        y, last_h, last_c = (torch.from_numpy(numpy.asarray(value)) for value in found)
        return y.squeeze(1), (last_h[0], last_c[0])

    return oracle


def coupled(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """1 - sigmoid(a) is sigmoid(-a): the forget gate has the weights of the input gate with the opposite sign."""
    return asked()(params | {f"{letter}_f": -params[f"{letter}_i"] for letter in "WUVb"}, x, hx)


def lstmp(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """The projections of a peephole LSTM whose recurrent matrices are U W_rm, from an output that W_rm takes to r_0."""
    W_rm = params["W_rm"].detach()
    through = {name: U @ W_rm for name, U in params.items() if name.startswith("U_")}
    start = hx[0] @ torch.linalg.pinv(W_rm).T
    y, (m, c) = asked()({**params, **through}, x, (start, hx[1]))
    outputs = [y @ params[name].detach().T for name in ("W_rm", "W_pm") if name in params]
    return torch.cat(outputs, -1), (m @ W_rm.T, c)


def onnx_gru(linear_before_reset: int) -> Oracle:
    """ONNX's GRU, gates in the order z, r, n; of its two biases the second is that of U h, if the cell has one."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        b, H = stacked(params, "b", "zrn"), hx[0].shape[-1]
        tensors = {
            "X": x,
            "W": stacked(params, "W", "zrn")[None],
            "R": stacked(params, "U", "zrn")[None],
            "B": torch.cat([b, x.new_zeros(2 * H), params.get("b_hn", x.new_zeros(H))])[None],
            "initial_h": hx[0][None],
        }
        inputs = ["X", "W", "R", "B", "", "initial_h"]
        options = {"hidden_size": H, "linear_before_reset": linear_before_reset}
        model = onnx_model(helper.make_node("GRU", inputs, ["Y", "Y_h"], **options), x.dtype)
        found = ReferenceEvaluator(model).run(None, {name: tensor.detach().numpy() for name, tensor in tensors.items()})
        y, h = (torch.from_numpy(value) for value in found)
        return y.squeeze(1), (h[0],)

    return oracle


ORACLES = {
    "peephole_lstm": asked(),
    "lstm_vanilla": asked(),
    "lstm_nig": asked(),
    "lstm_nfg": asked(),
    "lstm_nog": asked(),
    "lstm_niaf": asked(g=identity),
    "lstm_noaf": asked(h=identity),
    "lstm_cifg": coupled,
    "lstmp": lstmp,
    "conv_lstm": asked(),
    "gru_reset_before": onnx_gru(linear_before_reset=0),
}
