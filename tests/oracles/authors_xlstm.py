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

    blocks = {k: R if (R := params[f"R_{k}"]).dim() == 3 else R[None] for k in "ifzo"}  # one head is a plain matrix
    heads, width, _ = blocks["z"].shape
    cell = sLSTMCell(sLSTMCellConfig(hidden_size=heads * width, num_heads=heads, backend="vanilla", output_shape="SBH"))
    weights = {
        "_recurrent_kernel_": torch.cat(list(blocks.values()), 1),
        "_bias_": stacked(params, "b", "ifzo"),
    }
    products = x.transpose(0, 1) @ stacked(params, "W", "ifzo").T
    y, final = functional_call(cell, weights, (products, states))
    return y, tuple(final)


def mlstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its step of one token, from our q, k, v and gates; its memory is the transposed of C, and it divides k itself."""
    from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple

    C, n, m = hx
    heads, d = n.shape[1:]
    state, out = (C.transpose(-1, -2), n[..., None], m[..., None, None]), []
    for step in x:
        q, k, v = (
            (step @ params[f"W_{name}"].T + factor * params[f"b_{name}"]).unflatten(-1, (heads, 1, d))
            for name, factor in (("q", 1), ("k", d**0.5), ("v", 1))
        )
        i, f = ((step @ params[f"W_{name}"].T + params[f"b_{name}"])[..., None, None] for name in "if")
        h, state = recurrent_step_stabilized_simple(*state, q=q, k=k, v=v, igate_preact=i, fgate_preact=f)
        out.append(torch.sigmoid(step @ params["W_o"].T + params["b_o"]) * h.flatten(1))
    C, n, m = state
    return torch.stack(out), (C.transpose(-1, -2), n.squeeze(-1), m[..., 0, 0])


ORACLES = {"slstm": slstm, "mlstm": mlstm}
