"""How exact the core is: units in the last place of the functions written here, over every magnitude and in every
variant, and the error of whole sequences beside PyTorch's own."""

import numpy as np
import pytest
import torch

import carousel
from core_runner import each_variant, run_core, run_op

FUNCTIONS = {"exp": 1.2, "log": 1.0, "sigmoid": 2.4, "tanh": 2.2, "softplus": 2.8}  # units in the last place at most


def points(dtype):
    """Every exponent and sign with infinities, NaN and denormals; dense where the functions bend and where they end."""
    bits = np.dtype(dtype).itemsize * 8
    rng = np.random.default_rng(0)
    patterns = np.arange(0, 2**bits, 2**bits // 99991, dtype=f"u{bits // 8}").view(dtype)
    spread = [rng.uniform(-1, 1, 40000) * s for s in (1e-3, 0.1, 1, 3, 10, 20, 104, 746)]
    powers = 2.0 ** np.arange(-80, 80)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.73, -87.34, -103.98, 709.79, -708.4, -745.14, 2**-0.5]
    patterns[np.isnan(patterns)] = np.nan  # quiet ones
    x = np.concatenate([patterns, *(np.concatenate(spread), powers, -powers, edges)]).astype(dtype)
    return x[: len(x) // 61 * 61].reshape(-1, 61)


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
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_last_place(name, dtype):
    x = points(dtype)
    for variant in each_variant():
        apart = ulps(run_op(name, x, dtype=dtype), exact(name, x), dtype)
        worst = apart.argmax()
        assert apart.flat[worst] <= FUNCTIONS[name], f"{variant}: {apart.flat[worst]} units at {x.flat[worst]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits(dtype):
    """tanh is odd, and the identity near 0; sigmoid and tanh reach 1 and never pass it."""
    x = points(dtype)
    near = x[abs(x) < 2.0 ** -(np.finfo(dtype).nmant + 3)][None]
    for _ in each_variant():
        tanh, sigmoid = run_op("tanh", x, dtype=dtype), run_op("sigmoid", x, dtype=dtype)
        np.testing.assert_array_equal(run_op("tanh", -x, dtype=dtype), -tanh)
        np.testing.assert_array_equal(run_op("tanh", near, dtype=dtype), near)
        assert np.nanmax(abs(tanh)) == 1 and (abs(tanh[abs(x) > 20]) == 1).all()
        assert np.nanmax(sigmoid) == 1 and (sigmoid[x > 40] == 1).all() and np.nanmin(sigmoid) == 0


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


def run_product(x, W, precision):
    """x @ W.T in the core."""
    externals = [["step", "in", "x"], ["matrix", "in", "W"], ["step", "out", "y"]]
    values = [["step", x.shape[1], 0], ["step", len(W), 2]]
    program = {"externals": externals, "values": values, "states": [], "loop": [], "after": []}
    y = np.full((1, len(x), len(W)), np.nan, np.float32)
    run_core(
        program | {"before": [["tile", len(W), [[1, -1, [[1, 0, 0]]]], []]]},
        1, len(x), [x[None], W, y], np.float32, precision=precision,
    )  # fmt: skip
    return y[0]


@pytest.mark.parametrize("k", [1, 33, 300])
def test_products_of_split_factors(k):
    """Against float64, relative to the sum of the terms' magnitudes: three roundings of 2^-16 at most, and on average
    much less; the factors' magnitudes spread over 20 powers of ten."""
    rng = np.random.default_rng(k)
    x, W = ((rng.normal(size=(n, k)) * 10.0 ** rng.uniform(-10, 10, (n, k))).astype(np.float32) for n in (37, 70))
    want, terms = x.astype(np.float64) @ W.T.astype(np.float64), abs(x).astype(np.float64) @ abs(W.T).astype(np.float64)
    for variant in each_variant():
        apart = abs(run_product(x, W, "split") - want) / terms
        assert apart.max() <= 3 * 2**-16 and np.sqrt((apart**2).mean()) <= 2**-17, variant


def test_special_values_in_split_factors():
    x = np.array([[np.nan], [np.inf], [-np.inf], [3e38], [0.0], [-0.0], [1e-30]] * 2, np.float32)
    W = np.array([[1.1]], np.float32)
    for variant in each_variant():
        got = run_product(x, W, "split")
        assert np.isnan(got[~np.isfinite(x)]).all(), variant  # an infinite number leaves no finite rest
        np.testing.assert_allclose(got[np.isfinite(x)], (x * W)[np.isfinite(x)], rtol=1e-4, err_msg=variant)


def whole_call(layer, x):
    """What a call and its backward pass give, as float64: values, the input's gradient, the parameters' gradients."""
    layer.zero_grad()
    x = x.detach().clone().requires_grad_()
    y, final = layer(x)
    finals = final if isinstance(final, tuple) else (final,)
    (y.square().sum() + sum(s.sum() for s in finals)).backward()
    groups = [y, *finals], [x.grad], [p.grad for p in layer.parameters()]
    return [torch.cat([t.detach().double().flatten() for t in group]) for group in groups]


@pytest.mark.parametrize("T, B, D, H", [(100, 4, 8, 32), (300, 2, 3, 25), (50, 8, 64, 128)])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_whole_sequence(name, T, B, D, H):
    """Against float64, values and the input's gradient are no further off than PyTorch's in float32, by root mean
    square (1.1: what four draws leave to chance), and sums over all rows, some of which PyTorch adds in pairs, at most
    1.5 times as far."""
    squares = np.zeros((2, 3))
    for seed in range(4):
        torch.manual_seed(seed)
        theirs, exact = getattr(torch.nn, name)(D, H), getattr(torch.nn, name)(D, H).double()
        ours = getattr(carousel, name)(D, H, engine="native")
        x = torch.randn(T, B, D)
        for layer in (exact, ours):
            layer.load_state_dict(theirs.state_dict())
        want = whole_call(exact, x.double())
        for i, layer in enumerate((ours, theirs)):
            found = zip(whole_call(layer, x), want, strict=True)
            squares[i] += [((g - w).square().sum() / w.square().sum()).item() for g, w in found]
    ratios = np.sqrt(squares[0] / squares[1])
    assert (ratios <= [1.1, 1.1, 1.5]).all(), f"error of values, input gradient, parameter gradients: {ratios}"
