"""ONNX's operators, run by its own reference in float64, or by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import onnx
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from oracles.common import Found, Parameters, stacked


def onnx_inputs(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> dict[str, numpy.ndarray]:
    """The inputs of ONNX's LSTM: gates in its order i, o, f, c; the peepholes P in the order i, o, f; two biases."""
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


def onnx_lstm(hidden_size: int, dtype: torch.dtype) -> onnx.ModelProto:
    """A model that is one LSTM operator with peepholes."""
    kind = TensorProto.DOUBLE if dtype == torch.float64 else TensorProto.FLOAT
    inputs = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P"]
    node = helper.make_node("LSTM", inputs, ["Y", "Y_h", "Y_c"], hidden_size=hidden_size)
    graph = helper.make_graph(
        [node],
        "peephole",
        [helper.make_tensor_value_info(name, kind, None) for name in inputs if name],
        [helper.make_tensor_value_info(name, kind, None) for name in node.output],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9)


def peephole_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """ONNX's own reference, which runs in float64."""
    model = ReferenceEvaluator(onnx_lstm(hx[0].shape[-1], x.dtype))
    y, h, c = (torch.from_numpy(numpy.asarray(value)) for value in model.run(None, onnx_inputs(params, x, hx)))
    return y.squeeze(1), (h[0], c[0])


ORACLES = {"peephole_lstm": peephole_lstm}
