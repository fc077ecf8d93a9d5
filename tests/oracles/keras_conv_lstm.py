"""Keras's convolutional LSTMs on the PyTorch backend: no peepholes, gates side by side as i, f, c, o."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from oracles.common import Found, Parameters

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported


def keras_conv_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """One layer on x (T, B, C, *space) and states (B, H, *space), with one to three axes."""
    from keras import layers  # seconds, for those alone who ask it

    dims, kernel = x.dim() - 3, params["W_i"].shape[2:]
    layer = getattr(layers, f"ConvLSTM{dims}D")(
        hx[0].shape[1],
        tuple(kernel),
        padding="same",
        data_format="channels_first",
        return_sequences=True,
        return_state=True,
        dtype=str(x.dtype).removeprefix("torch."),
    )
    layer.build((x.shape[1], *x.shape[:1], *x.shape[2:]))
    weights = [torch.cat([params[f"{letter}_{gate}"] for gate in "ifco"]) for letter in "WUb"]
    weights[:2] = [w.movedim((1, 0), (-2, -1)) for w in weights[:2]]  # (*kernel, in, out)
    seeds = [variable.value for variable in layer.non_trainable_variables]
    (y, *final), _ = layer.stateless_call(weights, seeds, x.transpose(0, 1), initial_state=list(hx))
    return y.transpose(0, 1), tuple(final)
