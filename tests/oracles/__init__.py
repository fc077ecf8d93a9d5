"""Somebody else's numbers for each registered cell, from the same weights.

An oracle takes the cell's parameters by name, x (T, B, D), the initial states (B, w) and, by name, the side inputs. It
returns y (T, B, w) and the final states (B, w). Where these carry no gradient (NumPy's do not), gradients are finite
differences of the oracle. Cells share a file if they share the one who is asked.
"""

from __future__ import annotations

from oracles import (
    authors_ncps,
    authors_neuralhydrology,
    authors_xlstm,
    onnx_operators,
    scipy_signal,
    torch_cells,
    torch_nn,
    torch_nn_axes,
    torch_nn_settings,
    torch_parts,
    torch_recurrent,
    torch_recurrent_later,
    torch_steps,
)
from oracles.common import Oracle

ORACLES: dict[str, Oracle] = {
    **authors_ncps.ORACLES,
    **authors_neuralhydrology.ORACLES,
    **authors_xlstm.ORACLES,
    **torch_nn.ORACLES,
    **torch_nn_axes.ORACLES,
    **torch_nn_settings.ORACLES,
    **onnx_operators.ORACLES,
    **torch_cells.ORACLES,
    **torch_parts.ORACLES,
    **torch_recurrent.ORACLES,
    **scipy_signal.ORACLES,
    **torch_recurrent_later.ORACLES,
    **torch_steps.ORACLES,
}
