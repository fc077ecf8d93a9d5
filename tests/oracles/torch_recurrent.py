"""torchrecurrent's cells, which are loops in Python over one step in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchrecurrent
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear, logsigmoid

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


def gated(kind: type[nn.Module], of_x: Sequence[str], of_h: Sequence[str]) -> Oracle:
    """A cell of its whose weight_ih is W of these gates stacked, weight_hh is U, and whose biases add up."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        weights = {"weight_ih": stacked(params, "W", of_x), "weight_hh": stacked(params, "U", of_h)}
        return run_cell(kind, {**weights, "bias_ih": stacked(params, "b", of_x)}, x, hx)

    return oracle


def janet(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, beta: float = 1.0) -> Found:
    """Its two states are one."""
    weights = {"weight_ih": stacked(params, "W", "fc"), "weight_hh": stacked(params, "U", "fc")}
    weights |= {"bias_ih": stacked(params, "b", "fc"), "beta": x.new_tensor(beta)}
    y, (h, _) = run_cell(torchrecurrent.JANETCell, weights, x, (hx[0], hx[0]))
    return y, (h,)


def mut1(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "zrh"), "weight_hh": stacked(params, "U", "rh")}
    b_z, b_r, b_h = (params[name] for name in ("b_z", "b_r", "b_h"))
    weights["bias_ih"] = torch.cat([b_z, b_r, torch.zeros_like(b_h)])
    weights["bias_hh"] = torch.cat([torch.zeros_like(b_r), b_h])
    return run_cell(torchrecurrent.MUT1Cell, weights, x, hx)


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


def multiplicative_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "mifco"), "weight_hh": params["U_m"]}
    weights |= {"weight_mh": stacked(params, "U", "ifco"), "bias_mh": stacked(params, "b", "ifco")}
    return run_cell(torchrecurrent.MultiplicativeLSTMCell, weights, x, hx)


def indrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, nonlinearity: str = "relu") -> Found:
    weights = {"weight_ih": params["W"], "vector_u": params["u"], "bias_ih": params["b"]}
    return run_cell(torchrecurrent.IndRNNCell, weights, x, hx, nonlinearity=nonlinearity)


def ran(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "cif"), "weight_hh": stacked(params, "U", "if")}
    return run_cell(torchrecurrent.RANCell, {**weights, "bias_ih": stacked(params, "b", "if")}, x, hx)


def t_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": torch.cat([params["W"], params["V"]])}
    weights["bias_ih"] = torch.cat([torch.zeros_like(params["b"]), params["b"]])
    return run_cell(torchrecurrent.TRNNCell, weights, x, hx)


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


def cfn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    gates = ("theta", "eta")
    weights = {"weight_ih": torch.cat([stacked(params, "W", gates), params["W"]])}
    weights |= {"weight_hh": stacked(params, "U", gates), "bias_hh": stacked(params, "b", gates)}
    return run_cell(torchrecurrent.CFNCell, weights, x, hx)


def atr(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    return run_cell(torchrecurrent.ATRCell, {"weight_ih": params["W"], "weight_hh": params["U"]}, x, hx)


def res_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    weights |= {"weight_ph": stacked(params, "V", "ifo"), "weight_proj": params["W_p"], "weight_res": params["W_h"]}
    return run_cell(torchrecurrent.ResLSTMCell, weights, x, hx)


def sru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """c is a light GRU of units that see only themselves."""
    own, none = torch.diag(params["v_f"]), x.new_zeros(2 * [len(params["v_f"])])
    weights = {"weight_ih": torch.cat([params["W_f"], params["W"]]), "weight_hh": torch.cat([own, none])}
    weights["bias_ih"] = torch.cat([params["b_f"], torch.zeros_like(params["b_f"])])
    c, final = run_cell(torchrecurrent.LiGRUCell, weights, x, hx, nonlinearity="identity")
    r = torch.sigmoid(linear(x, params["W_r"], params["b_r"]) + params["v_r"] * torch.cat([hx[0][None], c[:-1]]))
    return torch.lerp(linear(x, params["W_h"]), c, r), final


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


def averaged(keep: Tensor, new: Tensor, hx: Sequence[Tensor]) -> Found:
    """h_t = f * h_{t-1} + (1 - f) * new with f = sigmoid(keep), by its T-RNN on (new, keep)."""
    given = torch.cat([new, keep], -1)
    weights = {"weight_ih": torch.eye(given.shape[-1], dtype=given.dtype)}
    return run_cell(torchrecurrent.TRNNCell, weights, given, hx)


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


ORACLES: dict[str, Oracle] = {
    "mut1": mut1,
    "mut2": gated(torchrecurrent.MUT2Cell, "zrh", "zrh"),
    "mut3": gated(torchrecurrent.MUT3Cell, "zrh", "zrh"),
    "minimal_gated_unit": gated(torchrecurrent.MGUCell, "fh", "fh"),
    "t_rnn": t_rnn,
    "t_gru": t_gru,
    "t_lstm": t_lstm,
    "multiplicative_lstm": multiplicative_lstm,
    "cfn": cfn,
    "nas_cell": nas_cell,
    "ran": ran,
    "res_lstm": res_lstm,
    "atr": atr,
    "indrnn": indrnn,
    "janet": janet,
    "li_gru": gated(torchrecurrent.LiGRUCell, "zh", "zh"),
    "sru": sru,
    "min_gru": min_gru,
    "gru_d": gru_d,
    "min_lstm": min_lstm,
    "rg_lru": rg_lru,
}
