"""Calls and layers of registered cells in float64, for tests of what papers say of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import carousel as ca
from carousel import engines
from carousel.graph import Cell
from runs import Call, make_call, scan

T, B, D, H = 6, 3, 5, 4


def call_of(cell: Cell, T: int = 5, H: int = H) -> Call:
    """A call of a cell, 3 inputs and 2 rows wide; sizes of a cell's own are 2."""
    known = {"input_size": 3, "hidden_size": H}
    return make_call(cell, {name: known.get(name, 2) for name in cell.sizes}, T, 2, frozen=("initial",))


def outputs(engine: str, cell: Cell, call: Call) -> dict[str, Tensor]:
    """Outputs and final states by name."""
    keywords = {"sides": call.sides, "lengths": None, "resets": None, "initial": call.initial}
    y, final, _ = engines.PREFERENCE[engine].scan(cell, call.sizes, call.x, call.hx, call.params, **keywords)
    return by_name(y, final)


def by_name(y: Tensor, final: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"y": y, **{f"final[{k}]": state for k, state in enumerate(final)}}


def run(engine: str, cell: Cell, call: Call) -> dict[str, Tensor]:
    """Outputs, final states and the gradients of all leaves."""
    return scan(engines.PREFERENCE[engine].scan, cell, call, ())


def zero(call: Call, *names: str) -> None:
    """Sets parameters to zero."""
    for name in names:
        call.params[name].detach().zero_()


def layer_of(cell: ca.Cell, engine: str, **changes: float) -> ca.Recurrent:
    """A layer in float64 with larger weights than at the start; `changes` sets parameters by name."""
    torch.manual_seed(1)
    layer = ca.Recurrent(cell, D, H, engine=engine, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.normal_(std=0.7)
            if name.removesuffix("_l0") in changes:
                parameter.fill_(changes[name.removesuffix("_l0")])
    return layer


def data(states: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """x (T, B, D), and states as for a layer."""
    generator = torch.Generator().manual_seed(2)
    tensors = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in [(T, B, D)] + states * [(1, B, H)]]
    return tensors[0], tuple(tensors[1:])


def weights_of(layer: ca.Recurrent) -> dict[str, Tensor]:
    return {name.removesuffix("_l0"): parameter for name, parameter in layer.named_parameters()}
