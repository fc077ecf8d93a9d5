"""Every elementwise instruction and row operation of the core, in every variant: units in the last place of the
functions written here, special values, and agreement with numpy of all the others."""

import numpy as np
import pytest

from core_runner import each_variant, run_core
from program_reference import ELEMENTWISE, ROW

LIMIT = 4.0  # units in the last place


def run_op(op, *sources, dtype):
    """One instruction over (B, w) arrays, as a program of one phase."""
    B, w = sources[0].shape
    externals = [["step", "in", f"x{i}"] for i in range(len(sources))] + [["step", "out", "y"]]
    values = [["step", w, i] for i in range(len(sources) + 1)]
    code = [op, len(sources), *range(len(sources)), *[-1] * (3 - len(sources))]
    program = {"externals": externals, "values": values, "states": [], "before": [["tile", w, [], [code]]]}
    arrays = [np.ascontiguousarray(s[None], dtype) for s in sources] + [np.full((1, B, w), np.nan, dtype)]
    run_core(program | {"loop": [], "after": []}, 1, B, arrays, dtype)
    return arrays[-1][0]


def points(dtype):
    """Numbers of all magnitudes, dense where the functions bend, shaped in rows of 37 columns (with a tail)."""
    rng = np.random.default_rng(0)
    tiny = np.finfo(dtype).tiny
    spread = rng.choice([-1, 1], 8000) * 10.0 ** rng.uniform(
        np.log10(tiny) / 2, np.log10(np.finfo(dtype).max) / 2, 8000
    )
    dense = np.concatenate([rng.normal(size=8000) * s for s in (1e-3, 1, 10, 100, 500)])
    edges = np.array(
        [0.0, -0.0, tiny, -tiny, tiny / 8, 88.7, -87.4, -100, -103, 709.7, -744, 1, -1, 0.5, 0.70710678, 2]
    )
    x = np.concatenate([spread, dense, edges]).astype(dtype)
    return x[: len(x) // 37 * 37].reshape(-1, 37)


def exact(name, x):
    """The function in extended precision; numpy's long double has 11 bits more than float64."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))
        if name == "sigmoid":
            return np.where(x < 0, np.exp(-abs(x)), 1) / (1 + np.exp(-abs(x)))
        return getattr(np, name)(x)


def ulps(got, want, dtype):
    """Distance in units in the last place of the exact result, at least those of the smallest denormal."""
    low = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = want.astype(dtype)
        unit = np.maximum(np.spacing(abs(rounded)), low.smallest_subnormal).astype(np.longdouble)
        apart = abs(got.astype(np.longdouble) - want) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, apart)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "log", "sigmoid", "tanh", "softplus"])
def test_last_place(name, dtype):
    x = abs(points(dtype)) if name == "log" else points(dtype)
    for variant in each_variant():
        apart = ulps(run_op(name, x, dtype=dtype), exact(name, x), dtype)
        worst = np.nanargmax(np.where(np.isnan(apart), np.inf, apart))
        assert apart.flat[worst] <= LIMIT, f"{variant}: {apart.flat[worst]} units at {x.flat[worst]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    x = np.array([[np.inf, -np.inf, np.nan, 0.0, -0.0]], dtype)
    wanted = {
        "exp": [np.inf, 0, np.nan, 1, 1],
        "log": [np.inf, np.nan, np.nan, -np.inf, -np.inf],
        "sigmoid": [1, 0, np.nan, 0.5, 0.5],
        "tanh": [1, -1, np.nan, 0.0, -0.0],
        "softplus": [np.inf, 0, np.nan, np.log(2.0), np.log(2.0)],
        "relu": [np.inf, 0, np.nan, 0, 0],
        "sign": [1, -1, 0, 0, 0],
        "positive": [1, 0, 0, 0, 0],
    }
    for _ in each_variant():
        for name, want in wanted.items():
            got = run_op(name, x, dtype=dtype)[0]
            np.testing.assert_allclose(got, want, rtol=1e-7, err_msg=name)
            assert name != "tanh" or (np.signbit(got) == [False, True, np.signbit(got[2]), False, True]).all()


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


# operation: (widths of sources, n, width of the result)
ROW_CASES = {
    "mean": ([19], 0, 1),
    "sum": ([19], 0, 1),
    "softmax": ([19], 0, 19),
    "normalize": ([70], 0, 70),
    "rstd": ([70], 0, 1),
    "normalize_grad": ([70, 70, 1], 0, 70),
    "softmax_grad": ([19, 19], 0, 19),
    "expand": ([5], 3, 15),
    "blocksum": ([15], 3, 5),
    "slice": ([19], 4, 9),
    "pad": ([9], 4, 19),
    "concat": ([3, 1, 70], 0, 74),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", sorted(ROW))
def test_row_operation(op, dtype):
    widths, n, width = ROW_CASES[op]
    B = 5
    rng = np.random.default_rng(2)
    sources = [rng.normal(size=(1, B, w)).astype(dtype) for w in widths]
    k = len(sources)
    program = {
        "externals": [["step", "in", str(i)] for i in range(k)] + [["step", "out", "y"]],
        "values": [["step", w, i] for i, w in enumerate([*widths, width])],
        "states": [],
        "before": [],
        "loop": [["row", op, k, list(range(k)), n, 1e-3]],
        "after": [],
    }
    want = ROW[op]([s[0].astype(np.float64) for s in sources], n, 1e-3, width)
    for variant in each_variant():
        y = np.full((1, B, width), np.nan, dtype)
        run_core(program, 1, B, [*sources, y], dtype)
        np.testing.assert_allclose(y[0], want, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6, err_msg=variant)
