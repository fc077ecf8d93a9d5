"""carousel.replace: the layers inside a model become ours, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import carousel as ca
from tolerances import assert_close

T, B, D, H = 5, 3, 4, 6


class Tagger(nn.Module):
    """An embedding, layers of every kind, one of them shared, and some outside the registry of modules."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(D, H, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3)
        self.mixers = nn.ModuleList([nn.GRU(2 * H, H, batch_first=True), nn.RNN(H, H, batch_first=True)])
        self.top = nn.LSTM(H, H, batch_first=True, proj_size=2)
        self.again = self.top
        self.head = nn.Linear(2, 3)
        self.order = [self.encoder, *self.mixers, self.top]

    def forward(self, x):
        for layer in self.order:
            x = layer(x)[0]
        return self.head(x)


def model():
    torch.manual_seed(0)
    return Tagger().double()


def test_everything_is_swapped_and_computes_the_same():
    theirs = model()
    ours = copy.deepcopy(theirs)
    assert ca.replace(ours) is ours
    kinds = [ca.LSTM, ca.GRU, ca.RNN, ca.LSTM]
    assert [type(layer) for layer in ours.order] == kinds
    assert ours.top is ours.again
    x = torch.randn(B, T, D, dtype=torch.float64)
    found = []
    for network in (theirs, ours):
        torch.manual_seed(1)
        y = network(x)
        found.append([y, *torch.autograd.grad(y.sin().sum(), list(network.parameters()))])
    assert_close(found[1], found[0])
    assert_close(ours.eval()(x), theirs.eval()(x))


def test_the_parameters_are_the_same_objects_and_stay_frozen():
    network = model()
    network.encoder.weight_hh_l1.requires_grad_(False)
    before = dict(network.named_parameters())
    ca.replace(network)
    after = dict(network.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert not network.encoder.weight_hh_l1.requires_grad
    assert network.encoder.all_weights[1][0] is before["encoder.weight_ih_l0_reverse"]


def test_mode_and_dtype_stay():
    network = model().eval()
    ca.replace(network)
    assert not network.encoder.training
    assert network.float().top.weight_hr_l0.dtype == torch.float32


def test_hooks_stay():
    network, seen = model(), []
    network.top.register_forward_hook(lambda module, args, output: seen.append(type(module)))
    network.top.register_forward_pre_hook(lambda module, args: seen.append("before"))
    network.top.weight_hh_l0.register_hook(lambda grad: seen.append("gradient"))
    ca.replace(network)
    network(torch.randn(B, T, D, dtype=torch.float64)).sum().backward()
    assert seen == ["before", ca.LSTM, "gradient"]


def test_a_root():
    lstm = nn.LSTM(D, H)
    x = torch.randn(T, B, D)
    expected = lstm(x)[0]
    assert ca.replace(lstm) is lstm and type(lstm) is ca.LSTM
    assert_close(lstm(x)[0], expected)
    assert lstm(x, lengths=[5, 2, 0], record=("f",))[2]["f"].shape == (1, T, B, H)


def test_twice_is_once():
    network = ca.replace(model())
    layers = list(network.order)
    ca.replace(network)
    assert all(type(a) is type(b) for a, b in zip(network.order, layers, strict=True))
    mine = ca.LSTM(D, H, engine="eager")
    assert ca.replace(mine).engine == "eager"


def test_what_replaced_layers_are_saved_as(tmp_path):
    network = ca.replace(model())
    torch.save(network.encoder, tmp_path / "encoder.pt")
    loaded = torch.load(tmp_path / "encoder.pt", weights_only=False)
    assert type(loaded) is ca.LSTM
    x = torch.randn(B, T, D, dtype=torch.float64)
    assert_close(loaded.eval()(x)[0], network.eval().encoder(x)[0])


def test_parametrized_layers_stay_parametrized():
    lstm = nn.LSTM(D, H)
    nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")
    x = torch.randn(T, B, D)
    expected = lstm(x)[0]
    ca.replace(lstm)
    assert isinstance(lstm, ca.LSTM) and parametrize.is_parametrized(lstm)
    assert_close(lstm(x)[0], expected)
    lstm(x)[0].sum().backward()
    assert lstm.parametrizations.weight_hh_l0.original1.grad is not None
    parametrize.remove_parametrizations(lstm, "weight_hh_l0")
    assert type(lstm) is ca.LSTM
    assert_close(lstm(x)[0], expected)


def test_a_subclass_with_a_forward_of_its_own_is_refused_and_nothing_swapped():
    class Own(nn.LSTM):
        def forward(self, x):
            return super().forward(x)[0]

    network = nn.ModuleList([nn.LSTM(D, H), Own(D, H)])
    with pytest.raises(TypeError, match=r"Own is a class of its own derived from torch.nn.LSTM.*carousel.LSTM instead"):
        ca.replace(network)
    assert type(network[0]) is nn.LSTM
