"""How close results must be, by dtype, in one place."""

import torch

TOLERANCES = {
    torch.float64: {"atol": 1e-10, "rtol": 1e-8},
    torch.float32: {"atol": 2e-5, "rtol": 1e-4},
    torch.bfloat16: {"atol": 1e-3, "rtol": 1e-3},  # products of bfloat16: a factor may lie between two of them
}


def assert_close(actual, expected, **changes):
    """torch.testing.assert_close with the tolerances of the dtype of `expected`."""
    first = expected[0] if isinstance(expected, (tuple, list)) else expected
    torch.testing.assert_close(actual, expected, **{**TOLERANCES[first.dtype], **changes})
