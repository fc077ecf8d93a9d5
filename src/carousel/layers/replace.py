"""`replace`: a model's PyTorch layers become ours, in place."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from carousel.layers.gru import GRU, RNN
from carousel.layers.lstm import LSTM

DROP_INS: dict[type[nn.Module], type[nn.Module]] = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}


def replace(module: nn.Module) -> nn.Module:
    """Swaps every `torch.nn.LSTM`, `GRU` and `RNN` inside `module`, or `module` itself, for the layer of ours.

    Each layer stays the object that it was and changes its class only: parameters, hooks, dtype, mode, frozen flags,
    and every place that refers to it, remain. The model computes the same. Layers of ours are left as they are.

    Returns `module`. Raises TypeError for a user's own subclass of these classes, whose forward would be lost; nothing
    is swapped then.

    >>> import torch
    >>> model = torch.nn.ModuleDict({"encoder": torch.nn.LSTM(3, 4)})
    >>> replace(model)["encoder"]
    LSTM(3, 4)
    >>> type(model["encoder"]).__module__
    'carousel.layers.lstm'
    """
    swaps = [(layer, ours) for layer in module.modules() if (ours := _ours(layer)) is not None]
    for layer, ours in swaps:
        layer.__class__ = ours
    return module


def _ours(layer: nn.Module) -> type[nn.Module] | None:
    """The class that `layer` should have, or None to leave it."""
    kind = type(layer)
    if is_parametrized(layer):
        # parametrize gave the layer a class of its own: the same class again, derived from ours.
        base = DROP_INS.get(kind.__bases__[0])
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        return None if base is None else type(kind.__name__, (base,), own)
    if kind in DROP_INS:
        return DROP_INS[kind]
    for theirs, ours in DROP_INS.items():
        if isinstance(layer, theirs) and not isinstance(layer, ours):
            raise TypeError(
                f"replace: {kind.__name__} is a class of its own derived from torch.nn.{theirs.__name__}; its forward "
                f"would be lost. Derive it from carousel.{theirs.__name__} instead."
            )
    return None
