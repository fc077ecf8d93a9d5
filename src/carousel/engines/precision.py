"""The precision of products: what their factors may be rounded to. Sums, states and all else stay in float32.

It is a permission, which `Parameters` carry: the native engine takes it where that is faster, the others compute in the
dtype that they are given. None permits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from carousel.engines.constant import constant

BFLOAT16 = "bfloat16"


def permitted(x: Tensor) -> str | None:
    """What the caller lets a layer that computes in the dtype of x round the factors of its products to."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and (lowered(x) is not None or _of_backend() == "bf16"):
        return BFLOAT16
    return None


def lowered(x: Tensor) -> torch.dtype | None:
    """The dtype of a layer's results where autocast asks for another: as of `torch.nn.LSTM`, bfloat16 on the CPU."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not torch.is_autocast_enabled("cpu"):
        return None
    asked = torch.get_autocast_dtype("cpu")
    return asked if asked == torch.bfloat16 else None


def rounded(
    dtype: torch.dtype, y: Tensor, final: Sequence[Tensor], seen: Mapping[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """What an engine returns, in another dtype."""
    return y.to(dtype), tuple(s.to(dtype) for s in final), {name: value.to(dtype) for name, value in seen.items()}


@constant
def _of_backend() -> str:
    return torch.backends.mkldnn.rnn.fp32_precision  # type: ignore[attr-defined]
