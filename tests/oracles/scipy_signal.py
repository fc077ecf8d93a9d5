"""SciPy's linear filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy
import torch
from scipy.signal import lfilter
from torch import Tensor

from oracles.common import Found, Oracle, Parameters


def context_unit(f: Callable[[Tensor], Tensor] = torch.tanh) -> Oracle:
    """1 / (1 - d z^-1) for each unit, which starts from d c_0."""

    def oracle(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
        with torch.no_grad():
            driven = f(torch.nn.functional.linear(x, params["W"], params["b"])).numpy()
            d, c = params["d"].numpy(), hx[0].numpy()
        filters = ((k, [1.0], [1.0, -d[k]], d[k] * c[None, :, k]) for k in range(len(d)))
        units = [lfilter(b, a, driven[:, :, k], axis=0, zi=start)[0] for k, b, a, start in filters]
        y = torch.from_numpy(numpy.stack(units, axis=-1))
        return y, (y[-1],)

    return oracle


def lru(params: Parameters, x: Tensor, hx: Sequence[Tensor]) -> Found:
    """1 / (1 - lambda z^-1) for each unit, in complex numbers, which starts from lambda s_0."""
    with torch.no_grad():
        size = torch.exp(-torch.exp(params["nu"]))
        pole = torch.polar(size, torch.exp(params["theta"]))
        B, C = (torch.complex(params[f"{name}_re"], params[f"{name}_im"]) for name in "BC")
        driven = (x.to(B.dtype) @ B.T) * (torch.exp(params["g"]) * (1 - size**2).sqrt())
        first = (pole * torch.complex(*hx)).numpy()
        filters = ((k, [1.0], [1.0, -pole[k].item()], first[None, :, k]) for k in range(len(pole)))
        units = [lfilter(b, a, driven[:, :, k].numpy(), axis=0, zi=start)[0] for k, b, a, start in filters]
        s = torch.from_numpy(numpy.stack(units, axis=-1))
        return (s @ C.T).real + params["D"] * x, (s[-1].real, s[-1].imag)


ORACLES = {"lru": lru, "context_unit": context_unit()}
