"""Somebody else's numbers for each registered cell, from the same weights.

An oracle takes the cell's parameters by name, x (T, B, D), the initial states (B, w) and, by name, the side inputs. It
returns y (T, B, w) and the final states (B, w). Where these carry no gradient (NumPy's do not), gradients are finite
differences of the oracle. Cells share a file if they share the one who is asked.
"""

from __future__ import annotations

from oracles import (
    authors_ncps,
    authors_neuralhydrology,
    authors_sru,
    authors_xlstm,
    onnx_operators,
    scipy_signal,
    torch_lstm_cell,
    torch_lstm_sums,
    torch_nn,
    torch_recurrent,
    torch_recurrent_settings,
    torch_rnn_cell,
)
from oracles.common import Oracle

ORACLES: dict[str, Oracle] = {
    **authors_ncps.ORACLES,
    **authors_neuralhydrology.ORACLES,
    **authors_sru.ORACLES,
    **authors_xlstm.ORACLES,
    **onnx_operators.ORACLES,
    **scipy_signal.ORACLES,
    **torch_nn.ORACLES,
    **torch_rnn_cell.ORACLES,
    **torch_lstm_cell.ORACLES,
    **torch_lstm_sums.ORACLES,
    **torch_recurrent.ORACLES,
    **torch_recurrent_settings.ORACLES,
}
