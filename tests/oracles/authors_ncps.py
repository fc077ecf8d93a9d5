"""The package of the authors of liquid networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from oracles.common import Found, Parameters

HEADS = {"ff1": "g", "ff2": "k", "time_a": "f", "time_b": "e"}


def cfc(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, dt: Tensor) -> Found:
    """Its cell, step by step."""
    from ncps.torch import CfCCell

    (h,) = hx
    cell = CfCCell(x.shape[-1], h.shape[-1], backbone_units=len(params["b"]))
    weights = {"backbone.0.weight": torch.cat([params["W"], params["U"]], 1), "backbone.0.bias": params["b"]}
    for theirs, ours in HEADS.items():
        weights |= {f"{theirs}.weight": params[f"W_{ours}"], f"{theirs}.bias": params[f"b_{ours}"]}
    ys = []
    for x_t, dt_t in zip(x, dt, strict=True):
        h, _ = functional_call(cell, weights, (x_t, h, dt_t))
        ys.append(h)
    return torch.stack(ys), (h,)


ORACLES = {"cfc": cfc}
