"""Every elementwise instruction and row operation of the core agrees with numpy, in every variant."""

import numpy as np
import pytest

from core_runner import each_variant, run_core, run_op
from program_reference import ELEMENTWISE, ROW


def test_nan_of_two():
    """maximum, minimum and clip hand on a NaN from either side, as PyTorch does."""
    a = np.array([[np.nan, 1.0, np.nan, 2.0]])
    b = np.array([[1.0, np.nan, np.nan, 3.0]])
    for _ in each_variant():
        np.testing.assert_array_equal(run_op("maximum", a, b, dtype=np.float64), np.maximum(a, b))
        np.testing.assert_array_equal(run_op("minimum", a, b, dtype=np.float64), np.minimum(a, b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", sorted(ELEMENTWISE))
def test_instruction(op, dtype):
    arity = (
        ELEMENTWISE[op].__code__.co_argcount if hasattr(ELEMENTWISE[op], "__code__") else 2 if op[-3:] == "mum" else 1
    )
    rng = np.random.default_rng(1)
    sources = [rng.normal(size=(7, 70)).round(1).astype(dtype) for _ in range(arity)]  # rounded: some are equal
    if op in ("log", "sqrt"):
        sources[0] = abs(sources[0])
    with np.errstate(all="ignore"):
        want = ELEMENTWISE[op](*(s.astype(np.float64) for s in sources))
    for variant in each_variant():
        got = run_op(op, *sources, dtype=dtype)
        np.testing.assert_allclose(got, want, rtol=2e-6 if dtype == np.float32 else 1e-14, atol=1e-6, err_msg=variant)


# operation, widths of sources, n, width of the result
ROW_CASES = [
    ("mean", [19], 0, 1),
    ("sum", [19], 0, 1),
    ("sum", [150], 0, 1),
    ("softmax", [19], 0, 19),
    ("normalize", [70], 0, 70),
    ("rstd", [70], 0, 1),
    ("normalize_grad", [70, 70, 1], 0, 70),
    ("softmax_grad", [19, 19], 0, 19),
    ("expand", [5], 3, 15),
    ("expand", [3], 25, 75),
    ("blocksum", [15], 3, 5),
    ("blocksum", [38], 2, 19),
    ("blocksum", [76], 4, 19),
    ("slice", [19], 4, 9),
    ("pad", [9], 4, 19),
    ("concat", [3, 1, 70], 0, 74),
]


def test_every_row_operation_has_a_case():
    assert {op for op, *_ in ROW_CASES} == set(ROW)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "widths", "n", "width"), ROW_CASES)
def test_row_operation(op, widths, n, width, dtype):
    B = 5
    rng = np.random.default_rng(2)
    sources = [rng.normal(size=(1, B, w)).astype(dtype) for w in widths]
    k = len(sources)
    program = {
        "externals": [["step", "in", str(i)] for i in range(k)] + [["step", "out", "y"]],
        "values": [["step", w, i] for i, w in enumerate([*widths, width])],
        "states": [],
        "before": [],
        "loop": [["row", op, [k], list(range(k)), n, 1e-3]],
        "after": [],
    }
    want = ROW[op]([s[0].astype(np.float64) for s in sources], n, 1e-3, width)
    for variant in each_variant():
        y = np.full((1, B, width), np.nan, dtype)
        run_core(program, 1, B, [*sources, y], dtype)
        np.testing.assert_allclose(y[0], want, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6, err_msg=variant)
