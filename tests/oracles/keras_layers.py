"""Keras's layers on the PyTorch backend. Gates stand side by side: the LSTM's as i, f, c, o, the GRU's as z, r, n.

They serve as second oracles, in float32: on this backend Keras 3 multiplies float64 matrices in float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from oracles.common import Found, Parameters, stacked

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported


def run_keras(kind: str, weights: Sequence[Tensor], x: Tensor, hx: Sequence[Tensor], **options: bool) -> Found:
    """A layer of that class on these weights, in the order of its variables."""
    from keras import layers  # seconds, for those alone who ask it

    options |= {"return_sequences": True, "return_state": True}
    layer = getattr(layers, kind)(hx[0].shape[-1], dtype=str(x.dtype).removeprefix("torch."), **options)
    layer.build((x.shape[1], None, x.shape[2]))
    seeds = [variable.value for variable in layer.non_trainable_variables]
    (y, *final), _ = layer.stateless_call(list(weights), seeds, x.transpose(0, 1), initial_state=list(hx))
    return y.transpose(0, 1), tuple(final)


def elman(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    return run_keras("SimpleRNN", (params["W"].T, params["U"].T, params["b"]), x, hx)


def lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    return run_keras("LSTM", side_by_side(params, "ifco"), x, hx)


def gru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    kernel, recurrent, bias = side_by_side(params, "zrn")
    of_h = torch.cat([torch.zeros_like(params["b_z"]), torch.zeros_like(params["b_r"]), params["b_hn"]])
    return run_keras("GRU", (kernel, recurrent, torch.stack([bias, of_h])), x, hx, reset_after=True)


def gru_reset_before(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    return run_keras("GRU", side_by_side(params, "zrn"), x, hx, reset_after=False)


def side_by_side(params: Parameters, gates: str) -> tuple[Tensor, Tensor, Tensor]:
    """kernel, recurrent_kernel and bias."""
    return stacked(params, "W", gates).T, stacked(params, "U", gates).T, stacked(params, "b", gates)


PEERS = {"elman": elman, "lstm": lstm, "gru": gru, "gru_reset_before": gru_reset_before}
