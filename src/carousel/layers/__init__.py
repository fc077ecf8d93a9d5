"""Layers: PyTorch modules that run a cell over sequences."""

from carousel.layers.convolutional import ConvLSTM, ConvRecurrent
from carousel.layers.gru import GRU, RNN
from carousel.layers.lstm import LSTM
from carousel.layers.recurrent import Recurrent
from carousel.layers.replace import replace

__all__ = ["ConvLSTM", "ConvRecurrent", "GRU", "LSTM", "RNN", "Recurrent", "replace"]
