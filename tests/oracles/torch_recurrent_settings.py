"""torchrecurrent's cells in settings in which they are another cell, or step by step among what they lack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchrecurrent
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear, logsigmoid, pad

from oracles.common import Found, Oracle, Parameters, stacked
from oracles.torch_recurrent import loop, run_cell


def typed(kind: type[nn.Module], params: Parameters, x: Tensor, hx: Sequence[Tensor], tau: str) -> Found:
    """Its T-GRU and T-LSTM keep the input before, where ours keep V of it: V of the first comes in as a bias."""
    V, (state, *before) = stacked(params, "V", "zfo"), hx
    weights = {"weight_ih": stacked(params, "W", "zfo"), "weight_hh": V, "bias_ih": stacked(params, "b", "zfo")}
    cell, past, bias = kind(x.shape[-1], state.shape[-1], output_nonlinearity=tau, dtype=x.dtype), 0 * x[0], before
    outputs = []
    for x_t in x:
        weights["bias_hh"] = torch.cat(bias, -1)
        found = functional_call(cell, weights, (x_t, (state, past)))
        output, (state, past) = found if isinstance(found[1], tuple) else (found[0], found)
        bias = [torch.zeros_like(part) for part in before]
        outputs.append(output)
    return torch.stack(outputs), (state, *linear(past, V).chunk(3, -1))


def t_gru(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, tau: str = "tanh") -> Found:
    return typed(torchrecurrent.TGRUCell, params, x, hx, tau)


def t_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, tau: str = "tanh") -> Found:
    return typed(torchrecurrent.TLSTMCell, params, x, hx, tau)


def nas_cell(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """It adds W_3 x and U_3 h, which the paper multiplies: these are zero, and the product comes as the bias there."""
    D, H = x.shape[-1], hx[0].shape[-1]
    cell = torchrecurrent.NASCell(D, H, dtype=x.dtype)
    gates = "01234567"
    zeroed = {**params, "W_3": x.new_zeros(H, D), "U_3": x.new_zeros(H, H)}
    weights = {"weight_ih": stacked(zeroed, "W", gates), "weight_hh": stacked(zeroed, "U", gates)}
    weights["bias_hh"] = x.new_zeros(8 * H)

    def step(x_t: Tensor, state: Sequence[Tensor]) -> object:
        product = (x_t @ params["W_3"].T) * (state[0] @ params["U_3"].T)
        biases = [product if k == "3" else params[f"b_{k}"].expand_as(product) for k in gates]
        return functional_call(cell, {**weights, "bias_ih": torch.cat(biases, -1)}, (x_t, state))

    return loop(step, x, hx)


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


def gru_d(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, m: Tensor, dt: Tensor) -> Found:
    """The GRU of its MUT2 on (u, m), from a state that has faded."""
    h, last = hx
    fade_x = (-(params["w_x"] * dt + params["b_x"]).clamp(min=0)).exp()
    fade_h = (-linear(dt, params["W_k"], params["b_k"]).clamp(min=0)).exp()
    weights = {"weight_ih": torch.cat([stacked(params, "W", "zrn"), stacked(params, "V", "zrn")], 1)}
    weights |= {"weight_hh": stacked(params, "U", "zrn"), "bias_ih": stacked(params, "b", "zrn")}
    outputs = []
    for t in range(len(x)):
        u = torch.lerp(torch.lerp(params["x_mean"].expand_as(last), last, fade_x[t]), x[t], m[t])
        last = torch.lerp(last, x[t], m[t])
        _, (h,) = run_cell(torchrecurrent.MUT2Cell, weights, torch.cat([u, m[t]], -1)[None], (fade_h[t] * h,))
        outputs.append(h)
    return torch.stack(outputs), (h, last)


def averaged(keep: Tensor, new: Tensor, hx: Sequence[Tensor]) -> Found:
    """h_t = f * h_{t-1} + (1 - f) * new with f = sigmoid(keep), by its T-RNN on (new, keep)."""
    given = torch.cat([new, keep], -1)
    weights = {"weight_ih": torch.eye(given.shape[-1], dtype=given.dtype)}
    return run_cell(torchrecurrent.TRNNCell, weights, given, hx)


def min_gru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": torch.cat([params["W_h"], -params["W_z"]])}
    weights["bias_ih"] = torch.cat([params["b_h"], -params["b_z"]])
    return run_cell(torchrecurrent.TRNNCell, weights, x, hx)


def min_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """Gates that sum to one are one gate of log f - log i."""
    f, i, n = (linear(x, params[f"W_{k}"], params[f"b_{k}"]) for k in "fih")
    return averaged(logsigmoid(f) - logsigmoid(i), n, hx)


def rg_lru(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, c: float = 8.0) -> Found:
    """a decays; what comes in is brought to the size 1 - a."""
    v = linear(x, params["W"])
    r, i = (torch.sigmoid(linear(v, params[f"W_{k}"], params[f"b_{k}"])) for k in "ai")
    a = torch.sigmoid(params["Lambda"]) ** (c * r)
    return averaged(a.logit(), (1 - a**2).sqrt() / (1 - a) * i * v, hx)


ORACLES: dict[str, Oracle] = {
    "scrn": scrn,
    "t_gru": t_gru,
    "t_lstm": t_lstm,
    "intersection_rnn": intersection_rnn,
    "nas_cell": nas_cell,
    "gru_d": gru_d,
    "lem": lem,
    "tau_gru": tau_gru,
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "rg_lru": rg_lru,
}
