"""The xLSTM authors' own package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from oracles.common import Found, Parameters, stacked


def slstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its cell in plain PyTorch; its last c and n as for an m that is given, since no gradient flows through ours."""
    y, (h, c, n, m) = run_xlstm(params, x, torch.stack(list(hx)))
    growth = torch.exp(m - m.detach())
    return y, (h, c * growth, n * growth, m.detach())


def run_xlstm(params: Parameters, x: Tensor, states: Tensor | None) -> Found:
    """The package's sLSTMCell as it is, from these states (4, B, H), or from its own."""
    from xlstm.blocks.slstm.cell import sLSTMCell, sLSTMCellConfig

    heads, width, _ = params["R_z"].shape
    cell = sLSTMCell(sLSTMCellConfig(hidden_size=heads * width, num_heads=heads, backend="vanilla", output_shape="SBH"))
    weights = {
        "_recurrent_kernel_": torch.cat([params[f"R_{gate}"] for gate in "ifzo"], 1),
        "_bias_": stacked(params, "b", "ifzo"),
    }
    products = x.transpose(0, 1) @ stacked(params, "W", "ifzo").T
    y, final = functional_call(cell, weights, (products, states))
    return y, tuple(final)


ORACLES = {"slstm": slstm}
