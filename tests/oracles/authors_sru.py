"""The package of the SRU's authors, in plain Python: its C++ and CUDA, compiled where it is imported, are left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from unittest import mock

import torch
from torch import Tensor
from torch.func import functional_call

from oracles.common import Found, Parameters, stacked


def sru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its layer on a sequence. Of its weight's columns, four of each unit: W, gates f and r, W_h."""
    with mock.patch("torch.utils.cpp_extension.load"), mock.patch("torch.jit.script", lambda function: function):
        from sru import SRUCell

    units = len(params["b_f"])
    layer = SRUCell(x.shape[-1], units).to(x.dtype)
    columns = [params[name] for name in ("W", "W_f", "W_r", "W_h")]
    weights = {
        "weight": torch.stack(columns, 1).flatten(0, 1).T,
        "weight_c": torch.cat([params["v_f"], params["v_r"]]),
        "bias": stacked(params, "b", "fr"),
    }
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that it runs on a CPU with gradients
        y, c = functional_call(layer, weights, (x, hx[0]))
    return y, (c,)


ORACLES = {"sru": sru}
