"""What PyTorch does with modules, done with ours: compiling, exporting, functional transforms, autocast."""

import copy

import pytest
import torch

import carousel as ca
import zoo
from carousel import engines
from tolerances import assert_close

ENGINES = [name for name, reason in engines.status().items() if reason is None and name not in ("torch", "whole")]
T, B, D, H = 5, 3, 4, 6
every_engine = pytest.mark.parametrize("engine", ENGINES)
# Dynamo refuses everything derived from torch.nn.LSTM unless it is told otherwise; export tells it.
KINDS = ("peephole_lstm", "LSTM")


class Tagger(torch.nn.Module):
    """Two bidirectional layers and a head."""

    def __init__(self, kind, engine, num_layers=2):
        super().__init__()
        if kind == "LSTM":
            self.layer = ca.LSTM(D, H, num_layers, bidirectional=True, engine=engine)
        else:
            self.layer = ca.Recurrent(ca.cells.get(kind), D, H, num_layers, bidirectional=True, engine=engine)
        self.head = torch.nn.Linear(2 * H, 3)

    def forward(self, x, lengths=None):
        y, state = self.layer(x, lengths=lengths)
        return self.head(y), state[0]


def tagger(kind, engine, num_layers=2):
    torch.manual_seed(0)
    return Tagger(kind, engine, num_layers)


def gradients(model, outputs):
    return torch.autograd.grad(sum(v.sin().sum() for v in outputs), list(model.parameters()))


@pytest.fixture
def fresh_dynamo():
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        yield
    torch._dynamo.reset()


@pytest.mark.parametrize(("kind", "engine"), [(k, e) for k in KINDS for e in ENGINES if (k, e) != ("LSTM", "eager")])
def test_compiles_as_one_graph(kind, engine, fresh_dynamo):
    T, num_layers = (5, 2) if engine == "native" else (2, 1)  # eager unrolls the steps, which takes its time
    model = tagger(kind, engine, num_layers)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x, lengths = torch.randn(T, B, D), torch.tensor([2, 0, 1])
    for args in ((x,), (x, lengths)):
        expected, found = model(*args), compiled(*args)
        assert_close(found, expected)
        assert_close(gradients(model, found), gradients(model, expected))


@every_engine
def test_compiles_resets_recordings_and_sides(engine, fresh_dynamo):
    T = 2
    layer = ca.Recurrent(zoo.kinks, D, H, learn_initial=True, engine=engine, event_size=2, static_size=3)

    def run(x, e, s, resets):
        y, state, seen = layer(x, resets=resets, record=("a", "c"), e=e, s=s)
        return [y, *state, *seen.values()]

    x, e, s = torch.randn(T, B, D), torch.randn(T, B, 2), torch.randn(B, 3)
    resets = torch.rand(T, B) < 0.3
    expected = run(x, e, s, resets)
    found = torch.compile(run, fullgraph=True, backend="aot_eager")(x, e, s, resets)
    assert_close(found, expected)
    assert_close(gradients(layer, found), gradients(layer, expected))


@pytest.mark.skipif("native" not in ENGINES, reason="eager unrolls the steps, so that their number is fixed")
@pytest.mark.parametrize("kind", KINDS)
def test_exports_with_dynamic_time_and_batch(kind, tmp_path):
    model = tagger(kind, "native")
    time, batch = torch.export.Dim("time", min=2, max=1000), torch.export.Dim("batch", min=2, max=1000)
    given = (torch.randn(T, B, D), torch.tensor([5, 0, 3]))
    for args, shapes in (
        (given[:1], {"x": {0: time, 1: batch}}),
        (given, {"x": {0: time, 1: batch}, "lengths": {0: batch}}),
    ):
        program = torch.export.export(model, args, dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "model.pt2")
        loaded = torch.export.load(tmp_path / "model.pt2").module()
        for steps, rows in ((T, B), (17, 2), (2, 9)):
            new = (torch.randn(steps, rows, D), torch.randint(0, steps + 1, (rows,)))[: len(args)]
            assert_close(loaded(*new), model(*new))


@every_engine
def test_exports_with_fixed_shapes(engine):
    model = tagger("peephole_lstm", engine)
    x = torch.randn(T, B, D)
    assert_close(torch.export.export(model, (x,)).module()(x), model(x))


# -- functional transforms


def functional(model):
    """The model as a function of its parameters."""
    return lambda parameters, x: torch.func.functional_call(model, parameters, (x,))[0]


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_func_grad(kind, engine):
    model = tagger(kind, engine)
    parameters, x, run = dict(model.named_parameters()), torch.randn(T, B, D), functional(model)
    found = torch.func.grad(lambda p: run(p, x).sin().sum())(parameters)
    expected = torch.autograd.grad(run(parameters, x).sin().sum(), list(parameters.values()))
    assert_close(list(found.values()), list(expected))


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_vmap_over_batches(kind, engine):
    model = tagger(kind, engine)
    many = torch.randn(4, T, B, D)
    expected = torch.stack([model(x)[0] for x in many])
    assert_close(torch.vmap(lambda x: model(x)[0])(many), expected)
    assert_close(torch.vmap(lambda x: model(x)[0], in_dims=2, out_dims=2)(many.movedim(0, 2)), expected.movedim(0, 2))


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_vmap_over_stacked_parameters(kind, engine):
    """An ensemble in one call, as PyTorch's tutorial on ensembling does it, and the gradients of each member."""
    models = [Tagger(kind, engine) for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(models)
    x, run = torch.randn(T, B, D), functional(copy.deepcopy(models[0]))
    assert_close(torch.vmap(run, (0, None))(parameters, x), torch.stack([m(x)[0] for m in models]))
    per_member = torch.vmap(torch.func.grad(lambda p, x: run(p, x).sin().sum()), (0, None))(parameters, x)
    for k, model in enumerate(models):
        expected = torch.autograd.grad(model(x)[0].sin().sum(), list(model.parameters()))
        assert_close([d[k] for d in per_member.values()], list(expected))


@every_engine
def test_gradients_of_each_sample(engine):
    model = tagger("peephole_lstm", engine)
    parameters, x, run = dict(model.named_parameters()), torch.randn(T, B, D), functional(model)

    def loss(p, row):
        return run(p, row.unsqueeze(1)).sin().sum()

    each = torch.vmap(torch.func.grad(loss), (None, 1))(parameters, x)
    for b in range(B):
        expected = torch.func.grad(loss)(parameters, x[:, b])
        assert_close([d[b] for d in each.values()], list(expected.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_through_eager(kind):
    model = tagger(kind, "eager").double()
    x = torch.randn(2, 2, D, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: model(x)[0], x)


@pytest.mark.skipif("native" not in ENGINES, reason="no native engine")
def test_second_derivatives_through_native_are_refused():
    model = tagger("LSTM", "native")
    x = torch.randn(T, B, D, requires_grad=True)
    (first,) = torch.autograd.grad(model(x)[0].sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|eager"):
        first.square().sum().backward()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # forward mode uses it
def test_jacobian_forward_over_eager():
    model = tagger("peephole_lstm", "eager").double()
    x, v = torch.randn(2, T, B, D, dtype=torch.float64)
    _, forward = torch.func.jvp(lambda x: model(x)[0], (x,), (v,))
    backward = torch.func.vjp(lambda x: model(x)[0], x)[1]
    w = torch.randn_like(forward)
    assert_close((forward * w).sum(), (backward(w)[0] * v).sum())


# -- plain autograd


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_backward_twice(kind, engine):
    model = tagger(kind, engine)
    loss = model(torch.randn(T, B, D))[0].sin().sum()
    first = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    assert_close(torch.autograd.grad(loss, list(model.parameters())), first)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_input_in_any_order_of_memory(kind, engine):
    model = tagger(kind, engine)
    x, lengths = torch.randn(T, B, D), torch.tensor([5, 0, 3])
    expected = model(x, lengths)
    for view in (
        x.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        torch.stack([x, x], -1)[..., 0],
        torch.cat([x, x], 1)[:, :B],
        torch.cat([x, x], -1)[..., :D],
    ):
        assert not view.is_contiguous()
        view = view.detach().requires_grad_()
        found = model(view, lengths)
        assert_close(found, expected)
        assert torch.autograd.grad(found[0].sum(), view)[0].shape == x.shape
    one = x[:1].expand(T, B, D)
    assert_close(model(one)[0], model(one.contiguous())[0])


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_in_any_order_of_memory(kind, engine):
    model = tagger(kind, engine)
    y = model(torch.randn(T, B, D))[0]
    weights = torch.randn(3, B, T).permute(2, 1, 0)
    expected = torch.autograd.grad(y, list(model.parameters()), weights.contiguous(), retain_graph=True)
    assert_close(torch.autograd.grad(y, list(model.parameters()), weights), expected)


@every_engine
@pytest.mark.parametrize("frozen", ["weight_ih", "weight_hh", "bias", "_l0", "_reverse"])
def test_frozen_parameters(frozen, engine):
    model, plain = tagger("LSTM", engine), tagger("LSTM", "eager")
    for name, parameter in model.layer.named_parameters():
        parameter.requires_grad_(frozen not in name)
    x = torch.randn(T, B, D)
    for m in (model, plain):
        m(x)[0].sin().sum().backward()
    for (name, found), expected in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (found.grad is None) == (name.startswith("layer") and frozen in name)
        if found.grad is not None:
            assert_close(found.grad, expected.grad)


@every_engine
def test_only_the_input_asks_for_a_gradient(engine):
    found = []
    for name in (engine, "eager"):
        model = tagger("peephole_lstm", name).requires_grad_(False)
        x = torch.randn(T, B, D, generator=torch.Generator().manual_seed(1), requires_grad=True)
        found.append(torch.autograd.grad(model(x)[0].sin().sum(), x)[0])
    assert_close(*found)


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_modes_without_gradients(kind, engine):
    model, x = tagger(kind, engine), torch.randn(T, B, D)
    expected = model(x)[0]
    with torch.no_grad():
        y = model(x)[0]
    assert not y.requires_grad
    with torch.inference_mode():
        z = model(x)[0]
    assert z.is_inference()
    assert_close(y, expected)
    assert_close(z.clone(), expected)


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_autocast(kind, engine):
    """The states are of the parameters' dtype, whatever came from the layer below; results are as autocast asks."""
    model, below = tagger(kind, engine), torch.nn.Linear(D, D)
    x = torch.randn(T, B, D)
    with torch.autocast("cpu", torch.bfloat16):
        low = below(x)
        y, _ = model.layer(low)
        logits, _ = model(low)
    assert low.dtype == torch.bfloat16 and y.dtype == torch.bfloat16 and logits.dtype == torch.bfloat16
    near = {"atol": 1e-2, "rtol": 1e-2}
    assert_close(y.float(), model.layer(low.float())[0], **near)
    hx = model.layer(low.float())[1]
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = model.layer(low, hx)
    assert_close(y.float(), model.layer(low.float(), hx)[0], **near)
    logits.float().sum().backward()
    assert all(p.grad is not None for p in [*model.parameters(), *below.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_without_numbers(kind):
    model = tagger(kind, "auto").to("meta")
    y, h = model(torch.empty(T, B, D, device="meta"))
    assert y.shape == (T, B, 3) and h.shape == (4, B, H)


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(kind, engine):
    found = []
    for _ in range(2):
        model = tagger(kind, engine)
        y = model(torch.randn(T, B, D, generator=torch.Generator().manual_seed(1)))[0]
        found.append([y, *torch.autograd.grad(y.sin().sum(), list(model.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
