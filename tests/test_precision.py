"""Products in bfloat16: under autocast, in layers converted to bfloat16, and where PyTorch's backends permit them.

Errors are measured against float64, beside those of plain PyTorch in bfloat16 on the same numbers.
"""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import carousel as ca
import zoo
from carousel.engines import precision
from core_runner import each_variant

SHAPES = [(9, 1, 4, 6), (5, 7, 3, 33), (20, 5, 70, 65)]  # T, B, D, H
PAIRS = {
    "lstm": (nn.LSTM, ca.LSTM, {}),
    "two_ways": (nn.LSTM, ca.LSTM, {"num_layers": 2, "bidirectional": True}),
    "projected": (nn.LSTM, ca.LSTM, {"proj_size": 3}),
    "gru": (nn.GRU, ca.GRU, {}),
}


def run(layer, x, low=None):
    """y and the gradients of x and the parameters, in float64."""
    x = x.detach().requires_grad_()
    with torch.autocast("cpu", dtype=low or torch.bfloat16, enabled=low is not None):
        y, state = layer(x)
    weight = torch.linspace(-1, 1, y.numel()).view_as(y).to(y.dtype)
    found = torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()])
    return [value.double() for value in (y.detach(), *(state if isinstance(state, tuple) else (state,)), *found)]


def joined(values):
    """All of them in one: some gradients are but the difference of larger numbers."""
    return torch.cat([value.flatten() for value in values])


def error(found, right):
    return [((a - b).norm() / b.norm()).item() for a, b in zip(found, right, strict=True)]


@pytest.mark.parametrize("way", ["autocast", "converted"])
@pytest.mark.parametrize("T, B, D, H", SHAPES)
@pytest.mark.parametrize("kind", PAIRS)
def test_the_error_is_at_most_twice_that_of_torch(kind, T, B, D, H, way):
    theirs_type, ours_type, options = PAIRS[kind]
    torch.manual_seed(T)
    theirs, ours = theirs_type(D, H, **options), ours_type(D, H, **options)
    x = torch.randn(T, B, D).bfloat16().float()
    if way == "converted":
        theirs, ours, x = theirs.bfloat16(), ours.bfloat16(), x.bfloat16()
    ours.load_state_dict(theirs.state_dict())
    right = run(copy.deepcopy(ours).double(), x.double())
    low = torch.bfloat16 if way == "autocast" else None
    # torch autocasts no GRU on the CPU, and an LSTM with projections in parts only
    plain = theirs.bfloat16() if kind in ("gru", "projected") else theirs
    limits = error(
        run(plain, x.to(plain.weight_ih_l0.dtype), low if plain is theirs and way == "autocast" else None), right
    )
    for got, limit in zip(error(run(ours, x, low), right), limits, strict=True):
        assert got <= 2 * limit + 2e-3


@pytest.mark.parametrize("kind", PAIRS)
def test_dtypes_under_autocast(kind):
    """Results in bfloat16, as torch.nn.LSTM's; the parameters and their gradients stay in float32."""
    _, ours_type, options = PAIRS[kind]
    layer, x = ours_type(3, 5, **options), torch.randn(4, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer(x)
        again, _ = layer(y[..., :3], state)
    assert {v.dtype for v in (y, again, *(state if isinstance(state, tuple) else (state,)))} == {torch.bfloat16}
    y.sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {torch.float32}


@pytest.mark.parametrize("cell", [zoo.layer_norm_lstm, zoo.slstm, ca.cells.lstm, ca.cells.gru], ids=lambda c: c.name)
def test_any_cell(cell):
    """Row operations, several heads and whatever else: both ways to bfloat16 are near float32."""
    torch.manual_seed(1)
    layer, x = ca.Recurrent(cell, 5, 32), torch.randn(6, 5, 5).bfloat16().float()
    for p in layer.parameters():
        p.data = p.data.bfloat16().float()
    right = run(layer, x)
    for found in (run(layer, x, torch.bfloat16), run(copy.deepcopy(layer).bfloat16(), x.bfloat16())):
        assert max(error(found[:1], right[:1])) < 0.01
        assert error([joined(found)], [joined(right)])[0] < 0.02


def test_one_rounding_for_all_variants():
    layer, x = ca.LSTM(20, 40), torch.randn(7, 6, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [layer(x)[0] for _ in each_variant()]
    for y in found[1:]:
        torch.testing.assert_close(y, found[0], atol=1e-2, rtol=1e-2)


def test_ragged_and_reset_rows_in_bfloat16():
    layer, x = ca.LSTM(4, 6).bfloat16(), torch.randn(9, 3, 4).bfloat16()
    options = {"lengths": torch.tensor([9, 0, 5]), "resets": torch.rand(9, 3) < 0.3}
    (y, (h, c)), (right, _) = layer(x, **options), copy.deepcopy(layer).float()(x.float(), **options)
    assert y.dtype == h.dtype == c.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), right, atol=1e-2, rtol=2e-2)


def test_segments_are_computed_again_in_the_same_precision():
    torch.manual_seed(0)
    whole, x = ca.Recurrent(ca.cells.lstm, 3, 8), torch.randn(12, 4, 3)
    pieces = ca.Recurrent(ca.cells.lstm, 3, 8, checkpoint_every=5)
    pieces.load_state_dict(whole.state_dict())
    for one, other in zip(run(whole, x, torch.bfloat16), run(pieces, x, torch.bfloat16), strict=True):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


def test_compiled_under_autocast():
    layer, x = ca.Recurrent(ca.cells.gru, 3, 8), torch.randn(6, 5, 3)

    def call(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return layer(x)[0]

    y = torch.compile(call, backend="aot_eager", fullgraph=True)(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, call(x))


@pytest.fixture
def backend():
    before = torch.backends.mkldnn.rnn.fp32_precision
    yield torch.backends.mkldnn.rnn
    torch.backends.mkldnn.rnn.fp32_precision = before


def test_the_switch_of_the_backend(backend):
    """ "bf16" permits products in bfloat16. Results stay in float32."""
    layer, x = ca.LSTM(20, 40), torch.randn(7, 6, 20)
    plain = layer(x)[0]
    backend.fp32_precision = "bf16"
    low = layer(x)[0]
    assert low.dtype == torch.float32 and not torch.equal(low, plain)
    torch.testing.assert_close(low, plain, atol=1e-2, rtol=1e-2)
    double = copy.deepcopy(layer).double()
    backend.fp32_precision = "ieee"
    right = double(x.double())[0]
    backend.fp32_precision = "bf16"
    assert torch.equal(double(x.double())[0], right)


@pytest.mark.parametrize("variant", ["amx", "avx512bf16"])
def test_split_factors_are_asked_for_where_they_pay(variant, backend, monkeypatch):
    """ "tf32" permits the sum of two numbers in bfloat16, and is true float32 on processors without tiles."""
    layer, x = ca.LSTM(20, 40, num_layers=2, bidirectional=True), torch.randn(7, 18, 20)
    plain, right = run(layer, x), run(copy.deepcopy(layer).double(), x.double())
    monkeypatch.setattr(precision, "_core", SimpleNamespace(variant=lambda: variant))
    backend.fp32_precision = "tf32"
    for _ in each_variant() if variant == "amx" else [None]:
        split = run(layer, x)
        assert {torch.equal(a, b) for a, b in zip(split, plain, strict=True)} == {variant != "amx"}
        assert max(error(split, right)) < 2e-5


def test_what_is_asked():
    x, nothing, low = torch.zeros(1), (None, None), ("bfloat16", torch.bfloat16)
    assert precision.asked(x) == nothing
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert precision.asked(x) == low
        assert precision.asked(x.double()) == nothing
    with torch.autocast("cpu", dtype=torch.float16):
        assert precision.asked(x) == nothing
