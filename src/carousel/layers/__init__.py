"""Layers: PyTorch modules that run a cell over sequences."""

from carousel.layers.convolutional import ConvLSTM, ConvRecurrent
from carousel.layers.gru import GRU, RNN
from carousel.layers.lstm import LSTM
from carousel.layers.multidimensional import MDLSTM, MultiDimensional
from carousel.layers.recurrent import Recurrent
from carousel.layers.replace import replace
from carousel.layers.stream import Stream

__all__ = [
    "ConvLSTM",
    "ConvRecurrent",
    "GRU",
    "LSTM",
    "MDLSTM",
    "MultiDimensional",
    "RNN",
    "Recurrent",
    "Stream",
    "replace",
]
