"""The native engine against the eager one: every cell of the zoo, outputs, states and gradients."""

import pytest
import torch

import zoo
from carousel import engines
from carousel.engines import eager, native
from carousel.engines.params import Parameters
from test_engine_eager import LENGTHS, both, case, compare, some_resets

pytestmark = pytest.mark.skipif(native.status() is not None, reason=f"{native.status()}")
PLAIN = {"lengths": None, "resets": None}
EVERYTHING = {"lengths": LENGTHS, "resets": some_resets()}


@pytest.fixture(params=[1, 2, 3], ids=["1-thread", "2-threads", "3-threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_agrees_with_eager(cell, reverse, threads):
    compare(both(cell, native.scan, eager.scan, reverse=reverse, **PLAIN))
    compare(both(cell, native.scan, eager.scan, reverse=reverse, record=tuple(cell.step.names), **EVERYTHING))


@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
def test_input_past_the_end_is_never_read(cell):
    compare(both(cell, native.scan, eager.scan, poison=True, **EVERYTHING))


@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
def test_inference_keeps_nothing_and_agrees(cell):
    sizes, x, hx, params, sides, initial = case(cell)
    options = {"sides": sides, "initial": initial, "record": tuple(cell.step.names), **EVERYTHING}
    with torch.no_grad():
        found = native.scan(cell, sizes, x, hx, params, **options)
        torch.testing.assert_close(found, eager.scan(cell, sizes, x, hx, params, **options))


@pytest.mark.parametrize("cell", zoo.PUBLISHED, ids=lambda c: c.name)
def test_float32_is_as_close_to_float64_as_pytorch_is(cell):
    """On a longer sequence, not a chaotic one: at most twice the error of plain PyTorch in float32, plus rounding."""
    errors = {}
    for engine in (native, eager):
        outputs = {}
        for dtype in (torch.float64, torch.float32):
            sizes, x, hx, params, sides, initial = case(cell, T=200, B=3)
            x, hx, initial = x.to(dtype), [h.to(dtype) for h in hx], [s.to(dtype) for s in initial]
            params = {name: 0.4 * p.to(dtype) for name, p in params.items()}
            scan = eager.scan if dtype == torch.float64 else engine.scan
            outputs[dtype] = scan(cell, sizes, x, hx, params, sides=sides, initial=initial, **PLAIN)[0]
        errors[engine] = (outputs[torch.float32].double() - outputs[torch.float64]).abs().max().item()
    assert errors[native] <= 2 * errors[eager] + 1e-6


@pytest.mark.parametrize(
    "sizes", [{"input_size": 1}, {"hidden_size": 64}, {"hidden_size": 65, "input_size": 130}], ids=str
)
@pytest.mark.parametrize("cell", zoo.PUBLISHED, ids=lambda c: c.name)
def test_widths_around_those_of_a_tile(cell, sizes, threads, monkeypatch):
    monkeypatch.setattr(zoo, "DEFAULT_SIZES", {**zoo.DEFAULT_SIZES, **sizes})
    compare(both(cell, native.scan, eager.scan, **EVERYTHING))


def test_frozen_parameters_get_no_gradient():
    cell = zoo.PUBLISHED[2]
    sizes, x, hx, params, sides, initial = case(cell)
    params["U_f"].requires_grad_()
    y, _, _ = native.scan(cell, sizes, x, hx, params, sides=sides, initial=initial, **PLAIN)
    expected, _, _ = eager.scan(cell, sizes, x, hx, params, sides=sides, initial=initial, **PLAIN)
    (found,) = torch.autograd.grad(y.sum(), params["U_f"])
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), params["U_f"])[0])


def test_rows_of_a_larger_tensor_and_layouts_of_memory():
    """Strided input, transposed weights, expanded states, rows that do not cover their tensor."""
    cell = zoo.PUBLISHED[1]  # Elman's net
    sizes, x, hx, params, sides, initial = case(cell)
    wide = torch.cat([params["U"], params["U"] + 1, params["U"] - 1]).requires_grad_()
    H = params["U"].shape[0]
    arguments = {
        "x": x.transpose(0, 1).contiguous().transpose(0, 1)[:, :, ::1].requires_grad_(),
        "W": params["W"].t().contiguous().t().requires_grad_(),
        "state": hx[0][:1].expand(hx[0].shape).requires_grad_(),
    }
    results = []
    for engine in (native, eager):
        layout = (("W", 0, 0, 0), ("U", 1, H, H), ("b", 2, 0, 0))
        given = Parameters([arguments["W"], wide, params["b"]], layout)
        y, _, _ = engine.scan(
            cell, sizes, arguments["x"], [arguments["state"]], given, sides={}, initial=initial, **PLAIN
        )
        results.append(torch.autograd.grad(y.square().sum(), [*arguments.values(), wide]))
    torch.testing.assert_close(*results)


def test_one_parameter_under_two_names():
    cell = zoo.PUBLISHED[2]
    sizes, x, hx, params, sides, initial = case(cell)
    shared = params["U_f"].requires_grad_()
    params = {**params, "U_i": shared}
    found = []
    for engine in (native, eager):
        y, _, _ = engine.scan(cell, sizes, x, hx, params, sides=sides, initial=initial, **PLAIN)
        found.append(torch.autograd.grad(y.sum(), shared))
    torch.testing.assert_close(*found)


def test_the_same_call_gives_the_same_bits(threads):
    for cell in zoo.PUBLISHED:
        first, again = (both(cell, native.scan, native.scan, **EVERYTHING)[0] for _ in range(2))
        for one, other in zip(first, again, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one), cell.name


def test_says_what_it_cannot_do():
    cell = zoo.PUBLISHED[2]
    x = torch.zeros(2, 3, 5, dtype=torch.float16)
    assert "float32, float64 and bfloat16" in str(native.serves(cell, x))
    with pytest.raises(ValueError, match='engine="native" cannot run this'):
        engines.choose("native", cell, x)


def test_a_second_derivative_names_the_way():
    cell = zoo.PUBLISHED[2]
    sizes, x, hx, params, sides, initial = case(cell)
    y, _, _ = native.scan(cell, sizes, x.requires_grad_(), hx, params, sides=sides, initial=initial, **PLAIN)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='engine="eager"'):
        slope.sum().backward()


def test_gradients_only_of_a_final_state():
    """Outputs that nobody uses have no gradient at all, which the core reads as zeros."""
    cell = zoo.PUBLISHED[2]
    sizes, x, hx, params, sides, initial = case(cell)
    x.requires_grad_()
    found = []
    for engine in (native, eager):
        _, final, _ = engine.scan(cell, sizes, x, hx, params, sides=sides, initial=initial, **PLAIN)
        found.append(torch.autograd.grad(final[1].sum(), x))
    torch.testing.assert_close(*found)
