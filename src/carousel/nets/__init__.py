"""Nets around the cells: second-order graphs, in depth, with attention, beside convolutions, in time scales, xLSTM."""

from carousel.nets.attention import AdditiveAttention, MultiplicativeAttention
from carousel.nets.encoder_decoder import EncoderDecoder
from carousel.nets.encoder_forecaster import EncoderForecaster
from carousel.nets.in_depth import InDepth
from carousel.nets.lstm_fcn import LSTMFCN
from carousel.nets.second_order import Connection, Units, second_order
from carousel.nets.subsampling import HierarchicalSubsampling
from carousel.nets.xlstm import XLSTM, MLSTMBlock, SLSTMBlock

__all__ = [
    "AdditiveAttention",
    "Connection",
    "EncoderDecoder",
    "EncoderForecaster",
    "HierarchicalSubsampling",
    "InDepth",
    "LSTMFCN",
    "MLSTMBlock",
    "MultiplicativeAttention",
    "SLSTMBlock",
    "Units",
    "XLSTM",
    "second_order",
]
