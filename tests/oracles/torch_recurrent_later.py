"""torchrecurrent's cells of the networks that came after the LSTM and the GRU, with the weights of ours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchrecurrent
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import pad

from oracles.common import Found, Oracle, Parameters, stacked
from oracles.torch_recurrent import loop, run_cell


def fast_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], f: str = "tanh") -> Found:
    weights = {"weight_ih": params["W"], "weight_hh": params["U"], "bias_ih": params["b"]}
    weights |= {name: params[name] for name in ("alpha", "beta")}
    return run_cell(torchrecurrent.FastRNNCell, weights, x, hx, nonlinearity=f)


def fast_grnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    low_rank = "W_1" in params
    weights = {
        "weight_ih": params["W_1"] @ params["W_2"] if low_rank else params["W"],
        "weight_hh": params["U_1"] @ params["U_2"] if low_rank else params["U"],
        "bias_ih": stacked(params, "b", "zh"),
        "zeta": params["zeta"],
        "nu": params["nu"],
    }
    return run_cell(torchrecurrent.FastGRNNCell, weights, x, hx, nonlinearity="sigmoid")


def ugrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "cg") for name, letter in letters.items()}
    return run_cell(torchrecurrent.UGRNNCell, weights, x, hx)


def intersection_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Its input and state are equally wide: the narrower is filled up with zeros, and what comes of these cut off."""
    D, H = x.shape[-1], hx[0].shape[-1]
    N = max(D, H)

    def matrices(letter: str) -> Tensor:
        parts = (params[f"{letter}_{gate}"] for gate in "yhdg")
        return torch.cat([pad(part, (0, N - part.shape[1], 0, N - part.shape[0])) for part in parts])

    biases = torch.cat([pad(params[f"b_{gate}"], (0, N - len(params[f"b_{gate}"]))) for gate in "yhdg"])
    given = {"weight_ih": matrices("W"), "weight_hh": matrices("U"), "bias_ih": biases, "bias_hh": 0 * biases}
    cell = torchrecurrent.IntersectionRNNCell(N, N, dtype=x.dtype)
    outputs, h = [], pad(hx[0], (0, N - H))
    for x_t in pad(x, (0, N - D)):
        y, h = functional_call(cell, given, (x_t, h))
        outputs.append(y[:, :D])
    return torch.stack(outputs), (h[:, :H],)


def star(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "zk"), "weight_hh": params["U_k"]}
    return run_cell(torchrecurrent.STARCell, {**weights, "bias_ih": stacked(params, "b", "zk")}, x, hx)


def minimal_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": params["W_z"], "weight_hh": params["U_h"], "weight_mm": params["U_z"]}
    return run_cell(
        torchrecurrent.MinimalRNNCell, {**weights, "bias_ih": params["b_z"], "bias_hh": params["b_u"]}, x, hx
    )


def bistable(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    own = "V_a" in params
    weights = {"weight_ih": stacked(params, "W", "ach"), "weight_hh": stacked(params, "V" if own else "U", "ac")}
    weights["bias_hh"] = stacked(params, "b", "ac")
    return run_cell(torchrecurrent.BRCell if own else torchrecurrent.NBRCell, weights, x, hx)


def cornn(
    params: Parameters, x: Tensor, hx: Sequence[Tensor], dt: float = 0.042, gamma: float = 2.7, eps: float = 4.7
) -> Found:
    weights = {"weight_ih": params["W_x"], "weight_hh": params["U_y"], "weight_ch": params["U_z"]}
    weights["bias_ih"] = params["b"]
    return run_cell(torchrecurrent.coRNNCell, weights, x, hx, dt=dt, gamma=gamma, epsilon=eps)


def lem(params: Parameters, x: Tensor, hx: Sequence[Tensor], dt: float = 1.0) -> Found:
    """Asked twice a step: the first answer's z is right, and the second's y if it is given that z."""
    cell = torchrecurrent.LEMCell(x.shape[-1], hx[0].shape[-1], dt=dt, dtype=x.dtype)
    zeros = {name: torch.zeros_like(p) for name, p in cell.named_parameters()}
    weights = {"weight_ih": stacked(params, "W", "21zy"), "bias_ih": stacked(params, "b", "21zy")}
    weights |= {"weight_hh": stacked(params, "U", "21z"), "weight_ch": params["U_y"]}

    def step(x_t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, _ = state
        _, z = functional_call(cell, {**zeros, **weights}, (x_t, state))
        return functional_call(cell, {**zeros, **weights}, (x_t, (y, z)))[0], z

    return loop(step, x, hx)


def antisymmetric(params: Parameters, x: Tensor, hx: Sequence[Tensor], eps: float = 0.01, gamma: float = 0.01) -> Found:
    """Both forms."""
    gated = "V_z" in params
    kind = torchrecurrent.GatedAntisymmetricRNNCell if gated else torchrecurrent.AntisymmetricRNNCell
    weights = {"weight_hh": params["W"], "weight_ih": stacked(params, "V", "zh") if gated else params["V"]}
    weights["bias_ih"] = stacked(params, "b", "zh") if gated else params["b"]
    return run_cell(kind, weights, x, hx, epsilon=eps, gamma=gamma)


def unicornn(params: Parameters, x: Tensor, hx: Sequence[Tensor], dt: float = 0.19, alpha: float = 30.65) -> Found:
    weights = {"weight_ih": params["W"], "weight_hh": params["w"], "weight_ch": params["c"], "bias_ih": params["b"]}
    return run_cell(torchrecurrent.UnICORNNCell, weights, x, hx, dt=dt, alpha=alpha)


def wmc_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    return run_cell(torchrecurrent.WMCLSTMCell, {**weights, "weight_mh": stacked(params, "V", "ifo")}, x, hx)


def scrn(params: Parameters, x: Tensor, hx: Sequence[Tensor], alpha: float = 0.95) -> Found:
    """What it feeds back is tanh of an output layer on h: with the identity there, h is its inverse.

    Its context is as wide as h, so ours is filled up with zeros.
    """
    H, missing = hx[0].shape[-1], hx[0].shape[-1] - hx[1].shape[-1]
    cell = torchrecurrent.SCRNCell(x.shape[-1], H, dtype=x.dtype)
    zeros = {name: torch.zeros_like(p) for name, p in cell.named_parameters()}
    of_s = pad(params["P"], (0, missing))
    weights = {
        "weight_ih": torch.cat([pad(params["B"], (0, 0, 0, missing)), params["A"]]),
        "weight_hh": torch.cat([params["R"], torch.eye(H, dtype=x.dtype)]),
        "weight_ch": torch.cat([of_s, torch.zeros_like(of_s)]),
        "alpha": x.new_tensor(alpha),
    }
    outputs, h, s = [], hx[0], pad(hx[1], (0, missing))
    for x_t in x:
        fed_back, s = functional_call(cell, {**zeros, **weights}, (x_t, (h, s)))
        h = fed_back.atanh()
        outputs.append(torch.cat([h, s[:, : H - missing]], -1))
    return torch.stack(outputs), (h, s[:, : H - missing])


def tau_gru(params: Parameters, x: Tensor, hx: Sequence[Tensor], delay: int = 10) -> Found:
    """Given the oldest of the last states at each step."""
    cell = torchrecurrent.tauGRUCell(x.shape[-1], hx[0].shape[-1], dtype=x.dtype)
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "uzga") for name, letter in letters.items()}
    weights["bias_hh"] = torch.zeros_like(weights["bias_ih"])
    h, past, outputs = hx[0], list(hx[1].chunk(delay, -1)), []
    for x_t in x:
        new = functional_call(cell, weights, (x_t, h, past[-1]))
        h, past = new, [h, *past[:-1]]
        outputs.append(h)
    return torch.stack(outputs), (h, torch.cat(past, -1))


ORACLES: dict[str, Oracle] = {
    "fast_rnn": fast_rnn,
    "fast_grnn": fast_grnn,
    "fast_grnn_low_rank": fast_grnn,
    "ugrnn": ugrnn,
    "intersection_rnn": intersection_rnn,
    "star": star,
    "minimal_rnn": minimal_rnn,
    "brc": bistable,
    "nbrc": bistable,
    "cornn": cornn,
    "lem": lem,
    "antisymmetric_rnn": antisymmetric,
    "gated_antisymmetric_rnn": antisymmetric,
    "unicornn": unicornn,
    "tau_gru": tau_gru,
    "wmc_lstm": wmc_lstm,
    "scrn": scrn,
}
