"""The precision of products: what their factors may be rounded to. Sums, states and all else stay in float32.

"split" rounds to the sum of two numbers in bfloat16, which is a few times float32's error and takes three products: it
is asked for where these are faster than one in float32, on processors with tiles (AMX).

It is a permission, which `Parameters` carry: the native engine takes it where that is faster, the others compute in the
dtype that they are given. None permits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from carousel.engines.constant import constant
from carousel.engines.native_call import _core

BFLOAT16, SPLIT = "bfloat16", "split"
_SWITCH = torch.backends.mkldnn.rnn  # type: ignore[attr-defined]


def asked(x: Tensor) -> tuple[str | None, torch.dtype | None]:
    """What the caller lets a layer that computes in the dtype of x round the factors of its products to, outside of the
    layer's own autocast block; and the dtype of its results where autocast asks for another: as of `torch.nn.LSTM`,
    bfloat16 on the CPU.
    """
    if x.dtype is not torch.float32 or not x.is_cpu:
        return None, None
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16:
        return BFLOAT16, torch.bfloat16
    return _of_backend(), None


def rounded(
    dtype: torch.dtype, y: Tensor, final: Sequence[Tensor], seen: Mapping[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """What an engine returns, in another dtype."""
    return y.to(dtype), tuple(s.to(dtype) for s in final), {name: value.to(dtype) for name, value in seen.items()}


@constant
def _of_backend() -> str | None:
    given = _SWITCH.fp32_precision
    if given == "tf32" and _core is not None and _core.variant() == "amx":
        return SPLIT
    return BFLOAT16 if given == "bf16" else None
