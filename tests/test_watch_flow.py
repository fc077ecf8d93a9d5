"""`error_flow` against loops written by hand, closed forms, and brute force; and that it leaves a net as it was."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import carousel as ca
from carousel import cells

T, B, D, H = 9, 3, 4, 5


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_norms_and_jacobians_are_those_of_a_loop_over_torch_cells(kind: str) -> None:
    layer = getattr(nn, kind)(D, H).double()
    cell = getattr(nn, f"{kind}Cell")(D, H).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, w = torch.randn(T, B, D).double(), torch.randn(H).double()

    def step(state, inputs):
        new = cell(inputs, state.split(H, -1) if kind == "LSTM" else state)
        return torch.cat(new, -1) if kind == "LSTM" else new

    width = 2 * H if kind == "LSTM" else H
    state = torch.zeros(B, width).double()
    handed = []
    for t in range(T):
        handed.append(state.detach().clone())
        state = step(state, x[t])

    def rest(s, t):
        for later in x[t:]:
            s = step(s, later)
        return (s[:, :H] @ w).sum()

    flow = ca.error_flow(layer, x, loss=lambda out: (out[0][-1] @ w).sum(), jacobians=100)["l0"]
    for t in range(1, T):
        found = torch.autograd.functional.jacobian(lambda s, t=t: rest(s, t), handed[t])
        for k, state_name in enumerate(flow.norms):
            expected = found[:, k * H : (k + 1) * H].norm(dim=1).pow(2).mean().sqrt()
            close(flow.norms[state_name][T - 1 - t], expected)
        one = torch.autograd.functional.jacobian(lambda s, t=t: step(s, x[t, :1]), handed[t][:1])[0, :, 0]
        at = list(flow.jacobian_lags).index(T - t)
        close(flow.spectral_radius[at], torch.linalg.eigvals(one).abs().max())
        close(flow.largest_singular_value[at], torch.linalg.svdvals(one)[0])


def linear(eigenvalues: list[float]) -> tuple[ca.Recurrent, torch.Tensor]:
    """h = U h + W x with U of these eigenvalues, and U."""
    n = len(eigenvalues)
    V = torch.linalg.qr(torch.randn(n, n).double())[0] + 0.3 * torch.randn(n, n).double()
    U = V @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ torch.linalg.inv(V)

    @ca.cell(init={"U": lambda parameter: parameter.copy_(U)})
    def net(x, h, p):
        h = p.U @ h + p.W @ x
        return h

    return ca.Recurrent(net, D, n, dtype=torch.float64), U


@pytest.mark.parametrize("largest, verdict", [(0.8, "vanishes"), (1.0, "kept"), (1.3, "explodes")])
def test_a_linear_net_multiplies_errors_by_its_matrix(largest: float, verdict: str) -> None:
    layer, U = linear([largest, 0.5, -0.4])
    flow = ca.error_flow(layer, torch.randn(60, 2, D).double())["l0"]
    expected = [(torch.ones(3).double() @ torch.linalg.matrix_power(U, lag)).norm() for lag in flow.lags]
    close(flow.norms["h"], expected)
    close(flow.spectral_radius, largest)
    close(flow.largest_singular_value, torch.linalg.svdvals(U)[0])
    assert flow.verdict() == flow.verdict("h") == verdict
    assert flow.rate("h") == pytest.approx(largest, rel=0.02)


def test_the_context_unit_decays_as_d_to_the_lag() -> None:
    layer = ca.Recurrent(cells.context_unit, D, 2, init={"d": [0.9, 1.0]}, dtype=torch.float64)
    flow = ca.error_flow(layer, torch.randn(30, B, D).double())["l0"]
    close(flow.norms["c"], np.sqrt(0.9 ** (2.0 * flow.lags) + 1))


def test_the_plain_net_loses_what_the_carousel_keeps() -> None:
    x = torch.randn(100, B, D)
    plain = ca.error_flow(ca.Recurrent(cells.elman, D, 20), x)["l0"]
    carousel = ca.error_flow(ca.Recurrent(cells.lstm_1997.with_(truncate=True), D, 20, blocks=5), x)["l0"]
    wide = {"U": lambda U: nn.init.orthogonal_(U, gain=1.2)}
    wild = ca.error_flow(ca.Recurrent(cells.elman.with_(f=ca.identity), D, 20, init=wide), x)["l0"]
    assert plain.verdict() == "vanishes" and plain.rate("h") < 0.7
    assert carousel.verdict("s") == "kept" and carousel.rate("s") == pytest.approx(1, abs=1e-6)
    assert {carousel.verdict(state) for state in "hio"} == {"no error"}  # the paper stops it
    assert wild.verdict() == "explodes" and wild.rate("h") == pytest.approx(1.2, rel=1e-4)


def test_an_error_beyond_all_numbers_explodes() -> None:
    layer = ca.Recurrent(cells.elman.with_(f=ca.identity), 1, 1, init={"U": 10.0})
    flow = ca.error_flow(layer, torch.zeros(60, 1, 1))["l0"]
    assert np.isinf(flow.norms["h"]).any() and flow.verdict() == "explodes"
    assert flow.rate("h") == pytest.approx(10)


def any_layer(name: str) -> tuple[ca.Recurrent, dict[str, torch.Tensor]]:
    """A layer of a registered cell in float64, and side inputs for T steps and B rows."""
    cell = cells.load(name)
    own = dict.fromkeys((s for s in cell.sizes if s not in ("input_size", "hidden_size")), 4)
    layer = ca.Recurrent(cell, 4, 4, dtype=torch.float64, **own)
    width = {side: cell.side_width(side, **layer.sizes) for side in cell.sides}
    shapes = {
        side: ((T,) if declared.kind == "step" else ()) + (B, width[side])
        for side, declared in cell.sides.items()
        if declared.keep is None
    }
    return layer, {side: torch.rand(shape).double() for side, shape in shapes.items()}


@pytest.mark.parametrize("name", [name for name in cells.names() if name != "mdlstm"])
def test_every_cell_agrees_with_gradients_of_the_state_that_is_passed_in(name: str) -> None:
    layer, sides = any_layer(name)
    x = torch.randn(T, B, 4).double()
    flow = ca.error_flow(layer, {"x": x, **sides}, jacobians=1)["l0"]
    if layer.cell.time is not None:
        return  # its steps cannot be taken apart; the loop over torch.nn.RNNCell has seen the like
    cut = {n: (v[:-1], v[-1:]) if layer.cell.sides[n].kind == "step" else (v, v) for n, v in sides.items()}
    _, state = layer(x[:-1], **{n: first for n, (first, _) in cut.items()})
    state = tuple(s.detach().requires_grad_() for s in state)
    y, _ = layer(x[-1:], state, **{n: last for n, (_, last) in cut.items()})
    grads = torch.autograd.grad(y.sum(), state, allow_unused=True, materialize_grads=True)
    for name, grad in zip(layer.cell.states, grads, strict=True):
        close(flow.norms[name][0], grad[0].flatten(1).norm(dim=1).pow(2).mean().sqrt())


def test_rows_directions_and_layers_are_each_as_long_as_they_are() -> None:
    layer = ca.Recurrent(cells.gru, D, H, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, T, D).double()
    both = ca.error_flow(layer, {"x": x, "lengths": torch.tensor([T, 6])})
    alone = [ca.error_flow(layer, x[:1]), ca.error_flow(layer, x[1:, :6])]
    assert list(both) == ["l0", "l0_reverse", "l1", "l1_reverse"]
    for name, flow in both.items():
        long, short = (one[name].norms["h"] for one in alone)
        close(flow.norms["h"][5:], long[5:])
        close(flow.norms["h"][:5], np.sqrt((long[:5] ** 2 + short**2) / 2))
        close(flow.spectral_radius, alone[0][name].spectral_radius)


def test_a_reverse_direction_is_a_forward_one_on_the_sequence_turned_round() -> None:
    layer = ca.LSTM(D, H, bidirectional=True).double()
    other = ca.LSTM(D, H).double()
    other.load_state_dict({n: layer.state_dict()[n + "_reverse"] for n in other.state_dict()})
    x = torch.randn(T, B, D).double()
    flow, expected = ca.error_flow(layer, x)["l0_reverse"], ca.error_flow(other, x.flip(0))["l0"]
    close(flow.norms["c"], expected.norms["c"])
    close(flow.spectral_radius, expected.spectral_radius)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
def test_packed_and_compiled_are_the_same_as_with_lengths() -> None:
    layer, x = ca.LSTM(D, H).double(), torch.randn(T, 2, D).double()
    expected = ca.error_flow(layer, {"input": x, "lengths": torch.tensor([T, 4])})["l0"]
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([T, 4]))
    theirs = nn.LSTM(D, H).double()
    theirs.load_state_dict(layer.state_dict())
    for net in (layer, theirs, torch.compile(layer)):
        close(ca.error_flow(net, packed)["l0"].norms["c"], expected.norms["c"])


def test_resets_stop_the_error() -> None:
    layer = ca.Recurrent(cells.gru, D, H, dtype=torch.float64)
    x, resets = torch.randn(T, 1, D).double(), torch.zeros(T, 1, dtype=torch.bool)
    resets[5] = True
    flow = ca.error_flow(layer, {"x": x, "resets": resets})["l0"]
    alone = ca.error_flow(layer, x[5:])["l0"]
    close(flow.norms["h"][:3], alone.norms["h"])
    assert (flow.norms["h"][4:] == 0).all() and flow.verdict() == "vanishes"


class Net(nn.Module):
    """Layers of both libraries in a net, one of which is taken step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(D, H, batch_first=True, dropout=0.0)
        self.norm = nn.BatchNorm1d(H)
        self.decoder = ca.Recurrent(cells.lstm, H, H)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        seen, _ = self.encoder(x)
        seen = self.drop(self.norm(seen.transpose(1, 2))).transpose(1, 2)
        state, y = None, None
        for step in seen.unbind(1):
            y, state = self.decoder.step(step, state)
        return y


def test_a_net_is_left_as_it_was() -> None:
    net = Net()
    net.encoder.weight_ih_l0.grad = torch.ones_like(net.encoder.weight_ih_l0)
    before = copy.deepcopy(net.state_dict())
    kinds, modes = [type(m) for m in net.modules()], [m.training for m in net.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    x = torch.randn(B, T, D)
    chance = torch.get_rng_state()
    with torch.no_grad():
        ca.error_flow(net, x, loss=lambda y: y.square().sum())
    assert torch.equal(chance, torch.get_rng_state())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert [type(m) for m in net.modules()] == kinds and [m.training for m in net.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()] == hooks
    assert (net.encoder.weight_ih_l0.grad == 1).all()
    assert all(p.grad is None for n, p in net.named_parameters() if n != "encoder.weight_ih_l0")
    assert all(p.requires_grad for p in net.parameters())


def test_steps_taken_one_by_one_are_one_sequence() -> None:
    net = Net().eval().double()
    x = torch.randn(B, T, D).double()
    flow = ca.error_flow(net, x)
    assert list(flow) == ["encoder.l0", "decoder.l0"]
    whole = ca.error_flow(net.decoder, net.norm(net.encoder(x)[0].transpose(1, 2)).permute(2, 0, 1).detach())
    close(flow["decoder.l0"].norms["c"], whole["l0"].norms["c"])
    close(flow["decoder.l0"].spectral_radius, whole["l0"].spectral_radius)


def test_a_layer_that_starts_anew_has_a_second_name() -> None:
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = ca.GRU(D, H)

        def forward(self, a, b):
            return self.gru(a)[0][-1] * self.gru(b)[0][-1]

    flow = ca.error_flow(Twice(), (torch.randn(T, B, D), torch.randn(T + 3, B, D)))
    assert list(flow) == ["gru.l0", "gru.l0 (2)"]
    assert len(flow["gru.l0 (2)"].lags) == T + 2


def test_the_result_is_numbers_a_table_and_a_plot(tmp_path) -> None:
    flow = ca.error_flow(ca.Recurrent(cells.lstm_1997, D, 4, blocks=2, num_layers=2), torch.randn(40, B, D))
    data = json.loads(json.dumps(flow.to_dict()))
    assert data["l1"]["states"]["s"]["norms"] == flow["l1"].norms["s"].tolist()
    assert data["l0"]["cell"] == "lstm_1997" and len(data["l0"]["spectral_radius"]) == 20
    text = str(flow)
    assert "kept" in text and text.count("spectral radius") == 2 and "l1" in repr(flow)
    figure = flow.plot()
    assert len(figure.axes) == 4
    figure.savefig(tmp_path / "flow.png")
    with pytest.raises(KeyError, match="the layers are: l0, l1"):
        flow["l2"]
    for x in (torch.zeros(60, 1, 1), torch.zeros(2, 1, 1)):  # beyond all numbers, and a single lag
        layer = ca.Recurrent(cells.elman.with_(f=ca.identity), 1, 1, init={"U": 10.0})
        flow = ca.error_flow(layer, x, jacobians=0)
        json.dumps(flow.to_dict(), allow_nan=False)
        flow.plot().savefig(tmp_path / "flow.png")


def test_what_does_not_fit_is_said() -> None:
    layer, x = ca.LSTM(D, H), torch.randn(T, B, D)
    for arguments, said in [
        ((nn.Linear(D, H), x), "Linear contains no Recurrent, LSTM, GRU or RNN"),
        ((layer, x[:1]), "took two steps"),
        ((ca.ConvRecurrent(cells.gru, D, H, 3), torch.randn(T, B, D, 5, 5)), "reads images"),
    ]:
        with pytest.raises(ValueError, match=said):
            ca.error_flow(*arguments)
    with pytest.raises(TypeError, match="model is a function"):
        ca.error_flow(lambda x: x, x)
    for loss, said in [
        (lambda out: out[0], r"of shape \(9, 3, 5\), expected a tensor with one number"),
        (lambda out: 1.0, "a float, expected a tensor"),
        (lambda out: out[0].sum() * torch.nan, "the loss is not a number"),
        (lambda out: torch.zeros(()), "does not depend on any recurrent layer"),
    ]:
        with pytest.raises(ValueError, match=said):
            ca.error_flow(layer, x, loss=loss)
    with pytest.raises(ValueError, match="jacobians is -1"):
        ca.error_flow(layer, x, jacobians=-1)
