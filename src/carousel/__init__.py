"""Carousel: a memory cell is its equations; everything else is derived from them.

>>> import torch
>>> import carousel as ca
>>> @ca.cell
... def leaky(x, h, p):
...     return ca.sigmoid(p.a) * h + ca.tanh(p.W @ x)
>>> layer = ca.Recurrent(leaky, input_size=3, hidden_size=4)
>>> y, (h,) = layer(torch.randn(7, 2, 3))
>>> y.shape
torch.Size([7, 2, 4])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carousel import cells, train
from carousel.engines import use_engine
from carousel.errors import CellError
from carousel.graph import (
    Cell,
    TensorCell,
    abs,
    cell,
    clip,
    clip_gradient,
    clip_gradients,
    clip_states,
    concat,
    cos,
    exp,
    expand,
    floor,
    identity,
    layer_norm,
    layer_normalized,
    log,
    mask,
    maximum,
    mean,
    minimum,
    normalize,
    per_step,
    plain,
    recurrent_dropout,
    relu,
    sigmoid,
    sin,
    slice,
    softmax,
    softplus,
    split,
    sqrt,
    static,
    step_index,
    stop_gradient,
    sum,
    tanh,
    tensor_cell,
    variational_dropout,
    where,
    zoneout,
)
from carousel.graph.notation.drawing import draw
from carousel.info import info
from carousel.labelling import (
    BeamSearch,
    BestPath,
    CTCLoss,
    LabelModel,
    NGram,
    PrefixSearch,
    Transducer,
    TransducerBeam,
    TransducerGreedy,
    TransducerJoint,
    ctc_align,
    ctc_loss,
    label_error_rate,
    transducer_loss,
)
from carousel.layers import (
    GRU,
    LSTM,
    MDLSTM,
    RNN,
    ConvLSTM,
    ConvRecurrent,
    MultiDimensional,
    Recurrent,
    Stream,
    replace,
)
from carousel.nets import (
    LSTMFCN,
    XLSTM,
    AdditiveAttention,
    Connection,
    EncoderDecoder,
    EncoderForecaster,
    HierarchicalSubsampling,
    InDepth,
    MLSTMBlock,
    MultiplicativeAttention,
    SLSTMBlock,
    Units,
    second_order,
)
from carousel.train.online import SGD, Kalman, Online, readout
from carousel.watch import ErrorFlow, error_flow, plot_gates

if TYPE_CHECKING:
    from carousel.jobs.forecast import Forecaster
    from carousel.jobs.transcribe import Transcriber

__version__ = "0.1.0"

# fmt: off
__all__ = [
    "abs", "AdditiveAttention", "BeamSearch", "BestPath", "Cell", "cell", "CellError", "cells", "clip", "clip_gradient",
    "clip_gradients", "clip_states", "concat", "Connection", "ConvLSTM", "ConvRecurrent", "cos", "ctc_align",
    "ctc_loss", "CTCLoss", "draw", "EncoderDecoder", "EncoderForecaster", "error_flow", "ErrorFlow", "exp", "expand",
    "floor", "Forecaster", "GRU", "HierarchicalSubsampling", "identity", "InDepth", "info", "Kalman",
    "label_error_rate", "LabelModel", "layer_norm", "layer_normalized", "log", "LSTM", "LSTMFCN", "mask", "maximum",
    "MDLSTM", "mean", "minimum", "MLSTMBlock", "MultiDimensional", "MultiplicativeAttention", "NGram", "normalize",
    "Online", "per_step", "plain", "plot_gates", "PrefixSearch", "readout", "Recurrent", "recurrent_dropout", "relu",
    "replace", "RNN", "second_order", "SGD", "sigmoid", "sin", "slice", "SLSTMBlock", "softmax", "softplus", "split",
    "sqrt", "static", "step_index", "stop_gradient", "Stream", "sum", "tanh", "tensor_cell", "TensorCell", "train",
    "Transcriber", "Transducer", "transducer_loss", "TransducerBeam", "TransducerGreedy", "TransducerJoint", "Units",
    "use_engine", "variational_dropout", "where", "XLSTM", "zoneout",
]
# fmt: on


def __getattr__(name: str) -> Any:
    """What brings Lightning, pandas and more is imported when it is asked for."""
    if name == "Forecaster":
        from carousel.jobs.forecast import Forecaster

        return Forecaster
    if name == "Transcriber":
        from carousel.jobs.transcribe import Transcriber

        return Transcriber
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
