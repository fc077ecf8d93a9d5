"""torchrecurrent's cells, which are loops in Python over one step in PyTorch, with the weights of ours."""

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


def gated(kind: type[nn.Module], of_x: Sequence[str], of_h: Sequence[str]) -> Oracle:
    """A cell of its whose weight_ih is W of these gates stacked, weight_hh is U, and whose biases add up."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        weights = {"weight_ih": stacked(params, "W", of_x), "weight_hh": stacked(params, "U", of_h)}
        return run_cell(kind, {**weights, "bias_ih": stacked(params, "b", of_x)}, x, hx)

    return oracle


def mut1(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "zrh"), "weight_hh": stacked(params, "U", "rh")}
    b_z, b_r, b_h = (params[name] for name in ("b_z", "b_r", "b_h"))
    weights["bias_ih"] = torch.cat([b_z, b_r, torch.zeros_like(b_h)])
    weights["bias_hh"] = torch.cat([torch.zeros_like(b_r), b_h])
    return run_cell(torchrecurrent.MUT1Cell, weights, x, hx)


def multiplicative_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "mifco"), "weight_hh": params["U_m"]}
    weights |= {"weight_mh": stacked(params, "U", "ifco"), "bias_mh": stacked(params, "b", "ifco")}
    return run_cell(torchrecurrent.MultiplicativeLSTMCell, weights, x, hx)


def t_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": torch.cat([params["W"], params["V"]])}
    weights["bias_ih"] = torch.cat([torch.zeros_like(params["b"]), params["b"]])
    return run_cell(torchrecurrent.TRNNCell, weights, x, hx)


def indrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, nonlinearity: str = "relu") -> Found:
    weights = {"weight_ih": params["W"], "vector_u": params["u"], "bias_ih": params["b"]}
    return run_cell(torchrecurrent.IndRNNCell, weights, x, hx, nonlinearity=nonlinearity)


def ran(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "cif"), "weight_hh": stacked(params, "U", "if")}
    return run_cell(torchrecurrent.RANCell, {**weights, "bias_ih": stacked(params, "b", "if")}, x, hx)


def cfn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    gates = ("theta", "eta")
    weights = {"weight_ih": torch.cat([stacked(params, "W", gates), params["W"]])}
    weights |= {"weight_hh": stacked(params, "U", gates), "bias_hh": stacked(params, "b", gates)}
    return run_cell(torchrecurrent.CFNCell, weights, x, hx)


def res_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    weights |= {"weight_ph": stacked(params, "V", "ifo"), "weight_proj": params["W_p"], "weight_res": params["W_h"]}
    return run_cell(torchrecurrent.ResLSTMCell, weights, x, hx)


def atr(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    return run_cell(torchrecurrent.ATRCell, {"weight_ih": params["W"], "weight_hh": params["U"]}, x, hx)


def janet(params: Parameters, x: Tensor, hx: Sequence[Tensor], *, beta: float = 1.0) -> Found:
    """Its two states are one."""
    weights = {"weight_ih": stacked(params, "W", "fc"), "weight_hh": stacked(params, "U", "fc")}
    weights |= {"bias_ih": stacked(params, "b", "fc"), "beta": x.new_tensor(beta)}
    y, (h, _) = run_cell(torchrecurrent.JANETCell, weights, x, (hx[0], hx[0]))
    return y, (h,)


def ugrnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "cg") for name, letter in letters.items()}
    return run_cell(torchrecurrent.UGRNNCell, weights, x, hx)


def minimal_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": params["W_z"], "weight_hh": params["U_h"], "weight_mm": params["U_z"]}
    return run_cell(
        torchrecurrent.MinimalRNNCell, {**weights, "bias_ih": params["b_z"], "bias_hh": params["b_u"]}, x, hx
    )


def fast_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], f: str = "tanh") -> Found:
    weights = {"weight_ih": params["W"], "weight_hh": params["U"], "bias_ih": params["b"]}
    weights |= {name: params[name] for name in ("alpha", "beta")}
    return run_cell(torchrecurrent.FastRNNCell, weights, x, hx, nonlinearity=f)


def leaky_rnn(params: Parameters, x: Tensor, hx: Sequence[Tensor], alpha: float = 0.2, f: str = "tanh") -> Found:
    """Its FastRNN, the sigmoids of whose two scalars are alpha and 1 - alpha."""
    logit = x.new_tensor(alpha).logit()
    return fast_rnn({**params, "alpha": logit, "beta": -logit}, x, hx, f)


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


def star(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    weights = {"weight_ih": stacked(params, "W", "zk"), "weight_hh": params["U_k"]}
    return run_cell(torchrecurrent.STARCell, {**weights, "bias_ih": stacked(params, "b", "zk")}, x, hx)


def antisymmetric(params: Parameters, x: Tensor, hx: Sequence[Tensor], eps: float = 0.01, gamma: float = 0.01) -> Found:
    """Both forms."""
    gated = "V_z" in params
    kind = torchrecurrent.GatedAntisymmetricRNNCell if gated else torchrecurrent.AntisymmetricRNNCell
    weights = {"weight_hh": params["W"], "weight_ih": stacked(params, "V", "zh") if gated else params["V"]}
    weights["bias_ih"] = stacked(params, "b", "zh") if gated else params["b"]
    return run_cell(kind, weights, x, hx, epsilon=eps, gamma=gamma)


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


def unicornn(params: Parameters, x: Tensor, hx: Sequence[Tensor], dt: float = 0.19, alpha: float = 30.65) -> Found:
    weights = {"weight_ih": params["W"], "weight_hh": params["w"], "weight_ch": params["c"], "bias_ih": params["b"]}
    return run_cell(torchrecurrent.UnICORNNCell, weights, x, hx, dt=dt, alpha=alpha)


def wmc_lstm(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b"}
    weights = {name: stacked(params, letter, "ifco") for name, letter in letters.items()}
    return run_cell(torchrecurrent.WMCLSTMCell, {**weights, "weight_mh": stacked(params, "V", "ifo")}, x, hx)


ORACLES: dict[str, Oracle] = {
    "mut1": mut1,
    "mut2": gated(torchrecurrent.MUT2Cell, "zrh", "zrh"),
    "mut3": gated(torchrecurrent.MUT3Cell, "zrh", "zrh"),
    "minimal_gated_unit": gated(torchrecurrent.MGUCell, "fh", "fh"),
    "multiplicative_lstm": multiplicative_lstm,
    "leaky_rnn": leaky_rnn,
    "t_rnn": t_rnn,
    "ugrnn": ugrnn,
    "minimal_rnn": minimal_rnn,
    "ran": ran,
    "cfn": cfn,
    "res_lstm": res_lstm,
    "janet": janet,
    "fast_rnn": fast_rnn,
    "fast_grnn": fast_grnn,
    "fast_grnn_low_rank": fast_grnn,
    "indrnn": indrnn,
    "li_gru": gated(torchrecurrent.LiGRUCell, "zh", "zh"),
    "atr": atr,
    "star": star,
    "antisymmetric_rnn": antisymmetric,
    "gated_antisymmetric_rnn": antisymmetric,
    "brc": bistable,
    "nbrc": bistable,
    "cornn": cornn,
    "unicornn": unicornn,
    "wmc_lstm": wmc_lstm,
}
