"""PyTorch's LSTM cell for equations with several predecessors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from oracles.common import Found, Parameters


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, gates: dict[str, tuple[Tensor | None, ...]]) -> tuple[Tensor, Tensor]:
    """torch.nn.LSTMCell whose gates are given as (W, U, b, what else is added to them); None is zero."""
    H, zeros = c.shape[-1], x.new_zeros
    shapes = ((H, x.shape[-1]), (H, h.shape[-1]), (H,), c.shape)
    found = {k: [zeros(s) if v is None else v for v, s in zip(gates[k], shapes, strict=True)] for k in "ifgo"}
    W, U, b = (torch.cat([found[k][part] for k in "ifgo"]) for part in range(3))
    more = torch.cat([found[k][3] for k in "ifgo"], -1)  # (B, 4H), through an identity matrix
    module = nn.LSTMCell(x.shape[-1] + h.shape[-1] + 4 * H, H, bias=True, dtype=x.dtype)
    weights = {"weight_ih": torch.cat([W, U, torch.eye(4 * H, dtype=x.dtype)], 1), "weight_hh": zeros(4 * H, H)}
    weights |= {"bias_ih": b, "bias_hh": torch.zeros_like(b)}
    return functional_call(module, weights, (torch.cat([x, h, more], -1), (torch.zeros_like(c), c)))


def mdlstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """One cell for i * g + f_1 * c_1, one without i * g for each further f_d * c_d, one that keeps their sum for h."""
    h, c = hx
    axes, H = sum(name.startswith("W_f") for name in params), params["b_i"].shape[0]
    nothing, keep = (None,) * 4, (None, None, x.new_full((H,), 100.0), None)

    def gate(name: str, seen: Tensor | None = None) -> tuple[Tensor | None, ...]:
        return (*(params[f"{letter}_{name}"] for letter in "WUb"), seen)

    ys = []
    for x_t in x:
        blocks = c.split(H, -1)
        i = gate("i", sum(part for part in (params["V_i"] * c).split(H, -1)))
        s = torch.zeros_like(blocks[0])
        for d, c_d in enumerate(blocks):
            f = gate(f"f{d + 1}", params[f"V_f{d + 1}"] * c_d)
            s = s + lstm_cell(x_t, h, c_d, {"i": i, "f": f, "g": nothing if d else gate("c"), "o": nothing})[1]
        o = gate("o", params["V_o"] * s)
        y, _ = lstm_cell(x_t, h, s, {"i": nothing, "f": keep, "g": nothing, "o": o})
        h, c = torch.cat([y] * axes, -1), torch.cat([s] * axes, -1)
        ys.append(y)
    return torch.stack(ys), (h, c)


ORACLES = {"mdlstm": mdlstm}
