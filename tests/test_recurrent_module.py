"""Layers as PyTorch modules: saved, copied, moved, wrapped. On every engine, for Recurrent and for the drop-ins."""

import copy
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parametrize

import carousel as ca
import zoo
from carousel import engines
from carousel.graph.loading import module_from
from tolerances import assert_close

ENGINES = [name for name, reason in engines.status().items() if reason is None and name not in ("torch", "whole")]
T, B, D, H = 5, 3, 4, 6
MAKERS = {
    "Recurrent": lambda **options: ca.Recurrent(ca.cells.peephole_lstm, D, H, learn_initial=True, **options),
    "LSTM": lambda **options: ca.LSTM(D, H, **options),
    "GRU": lambda **options: ca.GRU(D, H, **options),
}
every_layer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def made(make, **options):
    torch.manual_seed(0)
    return make(num_layers=2, bidirectional=True, **options)


def flat(result):
    y, state = result
    return [y, *(state if isinstance(state, tuple) else [state])]


X = torch.randn(T, B, D, generator=torch.Generator().manual_seed(1))

LOAD = """
import sys, torch
for layer, x, expected in torch.load(sys.argv[1], weights_only=False):
    torch.testing.assert_close(layer(x)[0], expected)
    layer(x)[0].sum().backward()
"""


def test_pickles_whole_into_another_process(tmp_path):
    leaky = module_from(str(Path(__file__).with_name("user_cell.py"))).leaky
    layers = [*map(made, MAKERS.values()), ca.Recurrent(leaky.with_(scale=0.5), D, H)]
    torch.save([(layer, X, layer(X)[0].detach()) for layer in layers], tmp_path / "layers.pt")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", LOAD, tmp_path / "layers.pt"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_layer_pickles_without_the_source_of_its_cell():
    @ca.cell
    def local(x, h, p):
        return ca.tanh(p.W @ x + h)

    layer = ca.Recurrent(local, D, H)
    again = pickle.loads(pickle.dumps(layer))
    assert_close(again(X)[0], layer(X)[0])


@every_layer
@every_engine
def test_deepcopy_is_independent(make, engine):
    layer = made(make, engine=engine)
    other = copy.deepcopy(layer)
    assert_close(flat(other(X)), flat(layer(X)))
    before = layer(X)[0]
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert_close(layer(X)[0], before)
    assert not torch.allclose(other(X)[0], before)


@every_layer
def test_state_dict(make):
    layer, other = made(make), make(num_layers=2, bidirectional=True)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert_close(flat(other(X)), flat(layer(X)))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})


def test_made_without_memory_and_loaded():
    """What large models do: no number is drawn, and the state dictionary holds all that is needed."""
    torch.manual_seed(0)
    layer = ca.Recurrent(zoo.observer, D, H)
    empty = ca.Recurrent(zoo.observer, D, H, device="meta").to_empty(device="cpu")
    empty.load_state_dict(layer.state_dict())
    assert_close(flat(empty(X)), flat(layer(X)))
    again = ca.Recurrent(zoo.observer, D, H, device="meta").to_empty(device="cpu")
    torch.manual_seed(0)
    again.reset_parameters()
    assert_close(flat(again(X)), flat(layer(X)))


@every_layer
@every_engine
def test_changes_dtype(make, engine):
    layer = made(make, engine=engine)
    expected = flat(layer(X))
    y, *states = flat(layer.double()(X.double()))
    assert y.dtype == torch.float64
    assert_close([v.float() for v in (y, *states)], expected)
    assert_close(flat(layer.float()(X)), expected)
    layer.to("meta")
    assert all(p.device.type == "meta" for p in layer.parameters())


@every_layer
@every_engine
def test_parametrized(make, engine):
    """A weight computed from others: the layer sees what it is at each call, and gradients reach what it is made of."""

    class Doubled(torch.nn.Module):
        def forward(self, w):
            return 2 * w

    layer = made(make, engine=engine)
    name = next(n for n, p in layer.named_parameters() if p.dim() == 2)
    plain = copy.deepcopy(layer)
    with torch.no_grad():
        getattr(plain, name).mul_(2)
    parametrize.register_parametrization(layer, name, Doubled())
    assert_close(flat(layer(X)), flat(plain(X)))
    layer(X)[0].sum().backward()
    assert layer.parametrizations[name].original.grad.abs().sum() > 0
    with torch.no_grad():
        layer.parametrizations[name].original.zero_()
        getattr(plain, name).zero_()
    assert_close(flat(layer(X)), flat(plain(X)))


@every_layer
@every_engine
def test_weight_norm(make, engine):
    layer = made(make, engine=engine)
    expected = layer(X)[0]
    name = next(n for n, p in layer.named_parameters() if p.dim() == 2)
    torch.nn.utils.parametrizations.weight_norm(layer, name)
    assert_close(layer(X)[0], expected)


@every_layer
@every_engine
def test_functional_call(make, engine):
    layer = made(make, engine=engine)
    zeros = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
    before = layer(X)[0]
    assert torch.func.functional_call(layer, zeros, (X,))[0].abs().sum() == 0
    assert_close(layer(X)[0], before)


@every_layer
@every_engine
def test_frozen_parameters_get_no_gradient(make, engine):
    layer = made(make, engine=engine)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_("_l0" in name and "reverse" not in name)
    layer(X)[0].sum().backward()
    for name, parameter in layer.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@every_layer
@every_engine
def test_distributed_data_parallel(make, engine, process_group):
    layer = made(make, engine=engine)
    alone = copy.deepcopy(layer)
    wrapped = torch.nn.parallel.DistributedDataParallel(layer)
    for module in (wrapped, alone):
        module(X)[0].square().sum().backward()
    assert_close([p.grad for p in layer.parameters()], [p.grad for p in alone.parameters()])


@every_engine
def test_trains(engine):
    """The first thing anybody does: an optimiser lowers a loss."""
    torch.manual_seed(0)
    layer = ca.Recurrent(zoo.gru, D, H, engine=engine)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.03)
    target = torch.tanh(X.cumsum(0)[..., :1]).expand(T, B, H) * 0.5
    losses = []
    for _ in range(30):
        loss = (layer(X)[0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
