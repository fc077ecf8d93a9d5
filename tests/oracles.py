"""Somebody else's numbers for each registered cell, from the same weights.

An oracle takes the cell's parameters by name, x (T, B, D) and the initial states (B, w), and returns y (T, B, w) and
the final states (B, w). PyTorch's are differentiable; where `DIFFERENTIABLE` says otherwise, gradients are finite
differences of the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy
import onnx
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from torch.func import functional_call

Found = tuple[Tensor, tuple[Tensor, ...]]
Parameters = Mapping[str, Tensor]


def stacked(params: Parameters, letter: str, gates: Sequence[str]) -> Tensor:
    """The gates' parameters one below the other."""
    return torch.cat([params[f"{letter}_{gate}"] for gate in gates])


def run_torch(module: nn.RNNBase, weights: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """One layer of PyTorch's with these weights; biases that are not named are zero."""
    zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters() if name.startswith("bias")}
    states = tuple(h[None] for h in hx)
    given = states if isinstance(module, nn.LSTM) else states[0]
    y, final = functional_call(module, {**zeros, **weights}, (x, given))
    return y, tuple(h[0] for h in (final if isinstance(final, tuple) else (final,)))


def elman(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    module = nn.RNN(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    weights = {"weight_ih_l0": params["W"], "weight_hh_l0": params["U"], "bias_ih_l0": params["b"]}
    return run_torch(module, weights, x, hx)


def lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    projected = {"weight_hr_l0": params["W_hr"]} if "W_hr" in params else {}
    h, c = hx
    module = nn.LSTM(x.shape[-1], c.shape[-1], proj_size=h.shape[-1] if projected else 0, dtype=x.dtype)
    letters = {"weight_ih_l0": "W", "weight_hh_l0": "U", "bias_hh_l0": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    return run_torch(module, {**weights, **projected}, x, hx)


def gru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    module = nn.GRU(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    b_r, b_z, b_n, b_hn = (params[name] for name in ("b_r", "b_z", "b_n", "b_hn"))
    weights = {
        "weight_ih_l0": stacked(params, "W", "rzn"),
        "weight_hh_l0": stacked(params, "U", "rzn"),
        "bias_ih_l0": torch.cat([b_r, b_z, b_n]),
        "bias_hh_l0": torch.cat([torch.zeros_like(b_r), torch.zeros_like(b_z), b_hn]),
    }
    return run_torch(module, weights, x, hx)


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


ORACLES: dict[str, Callable[[Parameters, Tensor, Sequence[Tensor]], Found]] = {
    "elman": elman,
    "lstm": lstm,
    "peephole_lstm": peephole_lstm,
    "gru": gru,
    "projected_lstm": lstm,
}
DIFFERENTIABLE = {"elman", "lstm", "gru", "projected_lstm"}


def differences(loss: Callable[[], Tensor], leaf: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient of `loss()` with respect to a float64 leaf by central differences, one number at a time."""
    gradient = torch.zeros_like(leaf)
    with torch.no_grad():
        values, out = leaf.view(-1), gradient.view(-1)
        for k in range(len(values)):
            kept = values[k].item()
            values[k] = kept + step
            above = loss().item()
            values[k] = kept - step
            out[k] = (above - loss().item()) / (2 * step)
            values[k] = kept
    return gradient
