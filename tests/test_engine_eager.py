"""The eager engine against the cell's own function on plain tensors, and what it promises besides."""

import pytest
import torch

import carousel as ca
import zoo
from carousel import engines
from carousel.engines import eager
from reference import naive_scan
from tolerances import assert_close

T, B = 6, 4


def case(cell, T=T, B=B, dtype=torch.float64, seed=0):
    """Random arguments for a scan of the cell: sizes, x, hx, params, and the sides and initial states."""
    g = torch.Generator().manual_seed(seed)
    sizes = zoo.sizes_of(cell)
    params = zoo.parameters_of(cell, sizes, dtype, generator=g)
    x = torch.randn(T, B, sizes["input_size"], dtype=dtype, generator=g)
    hx = zoo.states_of(cell, sizes, B, dtype, generator=g)
    initial = tuple(s[0] + 0.01 for s in zoo.states_of(cell, sizes, 1, dtype, generator=g))
    sides = zoo.sides_of(cell, sizes, T, B, dtype, generator=g)
    return sizes, x, hx, params, sides, initial


def leaves(x, hx, params, sides, initial):
    """All tensors that a gradient may be asked for, by name."""
    found = {"x": x, **{f"hx{k}": h for k, h in enumerate(hx)}, **{f"initial{k}": s for k, s in enumerate(initial)}}
    return {**found, **{f"side {n}": s for n, s in sides.items()}, **params}


def gradients(outputs, inputs, seed=1):
    """Gradients of a random weighting of all outputs."""
    g = torch.Generator().manual_seed(seed)
    total = sum((v * torch.randn(v.shape, dtype=v.dtype, generator=g)).sum() for v in outputs)
    found = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    return {name: torch.zeros_like(v) if d is None else d for (name, v), d in zip(inputs.items(), found, strict=True)}


def both(cell, scan, reference=naive_scan, record=(), poison=False, **options):
    """Outputs and gradients of two scans on the same random case."""
    found = []
    for function, spoil in ((scan, poison), (reference, False)):
        sizes, x, hx, params, sides, initial = case(cell)
        for leaf in leaves(x, hx, params, sides, initial).values():
            leaf.requires_grad_()
        given, given_sides = x, sides
        if spoil:
            past = (torch.arange(T)[:, None] >= options["lengths"])[..., None]
            given = torch.where(past, torch.nan, x)
            given_sides = {n: torch.where(past, torch.nan, s) if s.dim() == 3 else s for n, s in sides.items()}
        y, final, seen = function(
            cell, sizes, given, hx, params, sides=given_sides, initial=initial, record=record, **options
        )
        outputs = {"y": y, **{f"final {s}": v for s, v in zip(cell.states, final, strict=True)}}
        outputs |= {f"seen {name}": v for name, v in seen.items()}
        found.append((outputs, gradients(outputs.values(), leaves(x, hx, params, sides, initial))))
    return found


def compare(found):
    (outputs, grads), (expected, expected_grads) = found
    for name, value in expected.items():
        assert_close(outputs[name], value, msg=lambda m, name=name: f"{name}: {m}")
    for name, value in expected_grads.items():
        assert_close(grads[name], value, msg=lambda m, name=name: f"gradient of {name}: {m}")


LENGTHS = torch.tensor([6, 0, 3, 5])


def some_resets():
    resets = torch.rand(T, B, generator=torch.Generator().manual_seed(4)) < 0.3
    resets[0, 2] = resets[5, 0] = resets[3, 2] = True  # at the start, at the end, and in the padding
    return resets


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("cell", zoo.ALL, ids=zoo.IDS)
def test_agrees_with_the_function_itself(cell, reverse):
    """Lengths, resets, NaN in the padding, all outputs and all gradients."""
    record = cell.states
    compare(both(cell, eager.scan, record=record, lengths=None, resets=None, reverse=reverse))
    compare(both(cell, eager.scan, record=record, poison=True, lengths=LENGTHS, resets=some_resets(), reverse=reverse))


def test_records_what_the_equations_name():
    sizes, x, hx, params, sides, initial = case(zoo.lstm)
    names = ("f", "i", "g", "o", "c", "h")
    y, _, seen = eager.scan(
        zoo.lstm, sizes, x, hx, params, sides=sides, lengths=None, resets=None, initial=initial, record=names
    )
    assert tuple(seen) == names
    before = torch.cat([hx[1][None], seen["c"][:-1]])
    assert_close(seen["c"], seen["f"] * before + seen["i"] * seen["g"])
    assert_close(y, seen["o"] * seen["c"].tanh())


def test_records_what_never_changes_at_every_step():
    sizes, x, hx, params, sides, initial = case(zoo.entity_aware_lstm)
    _, _, seen = eager.scan(
        *(zoo.entity_aware_lstm, sizes, x, hx, params),
        **{"sides": sides, "lengths": LENGTHS, "resets": None, "initial": initial, "record": ("i",)},
    )
    once = torch.sigmoid(sides["s"] @ params["W_i"].T + params["b_i"])
    assert_close(seen["i"], torch.where((torch.arange(T)[:, None] < LENGTHS)[..., None], once, 0))


def test_second_derivatives():
    _, x, hx, params, sides, initial = case(zoo.peephole_lstm, T=3, B=2)
    sizes = {"input_size": 2, "hidden_size": 2}
    x, hx, initial = x[..., :2], [h[:, :2] for h in hx], [s[:2] for s in initial]
    params = {name: value[tuple(slice(2) for _ in value.shape)] for name, value in params.items()}
    names = list(params)

    def run(x, *values):
        given = dict(zip(names, values, strict=True))
        options = {"sides": {}, "lengths": torch.tensor([3, 2]), "resets": None, "initial": initial}
        return eager.scan(zoo.peephole_lstm, sizes, x, hx, given, **options)[0]

    inputs = [v.clone().requires_grad_() for v in (x, *params.values())]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
@pytest.mark.parametrize("cell", [zoo.lstm, zoo.kinks, zoo.observer, zoo.counting], ids=lambda c: c.name)
def test_empty(cell, shape):
    sizes, x, hx, params, sides, initial = case(cell, *shape)
    lengths, resets = torch.zeros(shape[1], dtype=torch.int64), torch.ones(shape, dtype=torch.bool)
    record = cell.states
    y, final, seen = eager.scan(
        cell, sizes, x, hx, params, sides=sides, lengths=lengths, resets=resets, initial=initial, record=record
    )
    assert y.shape == (*shape, cell.output_width(**sizes))
    assert_close(final, hx)
    assert [seen[s].shape for s in record] == [(*shape, w) for w in cell.state_widths(**sizes)]


def test_rows_that_are_all_empty_reach_nothing():
    """Nothing of such rows is read: not even a broken initial state spoils the parameters' gradients."""
    sizes, x, hx, params, sides, initial = case(zoo.lstm)
    weights = {name: value.requires_grad_() for name, value in params.items()}
    nan = tuple(torch.full_like(h, torch.nan) for h in hx)
    options = {"sides": {}, "lengths": torch.zeros(B, dtype=torch.int64), "resets": None, "initial": initial}
    y, final, _ = eager.scan(zoo.lstm, sizes, torch.full_like(x, torch.nan), nan, weights, **options)
    assert y.abs().sum() == 0 and final[0].isnan().all()
    for d in torch.autograd.grad(y.sum(), list(weights.values())):
        assert_close(d, torch.zeros_like(d))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(dtype):
    for cell in (zoo.lstm, zoo.slstm, zoo.layer_norm_lstm):
        sizes, x, hx, params, sides, initial = case(cell, dtype=dtype)
        y, final, _ = eager.scan(cell, sizes, x, hx, params, sides=sides, lengths=LENGTHS, resets=None, initial=initial)
        assert {v.dtype for v in (y, *final)} == {dtype}
        assert y.isfinite().all()


def test_vmap_over_parameters_and_rows():
    sizes, x, hx, params, sides, initial = case(zoo.gru_reset_before)
    options = {"sides": {}, "lengths": LENGTHS, "resets": some_resets(), "initial": initial}
    stacked = {name: torch.stack([value, 2 * value]) for name, value in params.items()}
    xs = torch.stack([x, x + 1])

    def run(params, x):
        return eager.scan(zoo.gru_reset_before, sizes, x, hx, params, **options)[0]

    expected = [run({n: v[k] for n, v in stacked.items()}, xs[k]) for k in range(2)]
    assert_close(torch.vmap(run)(stacked, xs), torch.stack(expected))


# -- the choice


def test_status_names_every_engine():
    assert list(engines.status()) == ["native", "torch", "whole", "eager"]
    assert engines.status()["eager"] is None


def test_a_named_engine_serves_or_raises():
    x = torch.zeros(1, 1, 5)
    assert engines.choose("eager", zoo.lstm, x) == "eager"
    assert engines.choose("torch", zoo.lstm, x) == "torch"
    with pytest.raises(ValueError, match='peephole_lstm: engine="torch" cannot run this: PyTorch has no'):
        engines.choose("torch", zoo.peephole_lstm, x)
    with pytest.raises(ValueError, match="know no resets"):
        engines.choose("torch", zoo.lstm, x, resets=torch.zeros(1, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="engine is 'fast', expected one of: auto, native, torch, whole, eager"):
        engines.check_name("fast")


def test_use_engine_holds_for_the_block_and_the_thread():
    x = torch.zeros(1, 1, 5)
    best = engines.choose("auto", zoo.lstm, x)
    with ca.use_engine("torch"):
        assert engines.choose("auto", zoo.lstm, x) == "torch"
        assert engines.choose("eager", zoo.lstm, x) == "eager"  # the layer's own word counts more
        with ca.use_engine("eager"):
            assert engines.choose("auto", zoo.lstm, x) == "eager"
        assert engines.choose("auto", zoo.lstm, x) == "torch"
    assert engines.choose("auto", zoo.lstm, x) == best
    with pytest.raises(ValueError, match="engine is 'fast'"), ca.use_engine("fast"):
        pass


def test_auto_leaves_float16_to_eager():
    assert engines.choose("auto", zoo.peephole_lstm, torch.zeros(1, 1, 5, dtype=torch.float16)) == "eager"


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("cell", [zoo.lstm, zoo.gru, zoo.projected_lstm], ids=lambda c: c.name)
def test_the_operators_of_torch(cell, reverse):
    compare(both(cell, engines.torch_operator.scan, lengths=None, resets=None, reverse=reverse))
    compare(both(cell, engines.torch_operator.scan, lengths=LENGTHS, resets=None, reverse=reverse, poison=True))
