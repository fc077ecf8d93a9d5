"""torchrecurrent's cells, which are loops in Python over one step in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchrecurrent
from torch import Tensor, nn
from torch.func import functional_call

from oracles.common import Found, Oracle, Parameters, stacked


def loop(step: Callable[..., object], x: Tensor, hx: Sequence[Tensor]) -> Found:
    """A cell in torchrecurrent's form, (x_t, state) -> state, over x (T, B, D); its output is the first state."""
    outputs, states = [], tuple(hx)
    for x_t in x:
        found = step(x_t, states if len(states) > 1 else states[0])
        states = (found,) if isinstance(found, Tensor) else tuple(found)
        outputs.append(states[0])
    return torch.stack(outputs), states


def run_cell(kind: type[nn.Module], weights: Parameters, x: Tensor, hx: Sequence[Tensor], **options: object) -> Found:
    """One of its cells with these weights; biases that are not named are zero."""
    cell = kind(x.shape[-1], hx[0].shape[-1], dtype=x.dtype, **options)
    zeros = {name: torch.zeros_like(p) for name, p in cell.named_parameters() if name.startswith("bias")}
    given = {**zeros, **weights}
    return loop(lambda x_t, state: functional_call(cell, given, (x_t, state)), x, hx)


def gated(kind: type[nn.Module], of_x: Sequence[str], of_h: Sequence[str], biases: str = "bias_ih") -> Oracle:
    """A cell of its whose weight_ih is W of these gates one below the other, weight_hh U likewise, and one bias b."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        weights = {"weight_ih": stacked(params, "W", of_x), "weight_hh": stacked(params, "U", of_h)}
        weights[biases] = stacked(params, "b", of_x if biases == "bias_ih" else of_h)
        return run_cell(kind, weights, x, hx)

    return oracle


def janet(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its two states are one."""
    weights = {"weight_ih": stacked(params, "W", "fc"), "weight_hh": stacked(params, "U", "fc")}
    weights |= {"bias_ih": stacked(params, "b", "fc"), "beta": x.new_tensor(1.0)}
    y, (h, _) = run_cell(torchrecurrent.JANETCell, weights, x, (hx[0], hx[0]))
    return y, (h,)


def mut1(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "zrh"), "weight_hh": stacked(params, "U", "rh")}
    b_z, b_r, b_h = (params[name] for name in ("b_z", "b_r", "b_h"))
    weights["bias_ih"] = torch.cat([b_z, b_r, torch.zeros_like(b_h)])
    weights["bias_hh"] = torch.cat([torch.zeros_like(b_r), b_h])
    return run_cell(torchrecurrent.MUT1Cell, weights, x, hx)


ORACLES: dict[str, Oracle] = {
    "mut1": mut1,
    "mut2": gated(torchrecurrent.MUT2Cell, "zrh", "zrh"),
    "mut3": gated(torchrecurrent.MUT3Cell, "zrh", "zrh"),
    "minimal_gated_unit": gated(torchrecurrent.MGUCell, "fh", "fh"),
    "janet": janet,
}
