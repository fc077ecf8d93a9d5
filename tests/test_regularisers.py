"""Regularisers against plain loops of PyTorch with the same masks, weights and hooks.

Legend: T time, B batch, D input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import carousel as ca
from carousel import cells
from carousel.errors import CellError
from oracles.torch_nn import gru as gru_oracle
from oracles.torch_nn import lstm as lstm_oracle
from runs import ENGINES, make_call
from tolerances import assert_close

T, B, D, H = 6, 3, 2, 4
every_engine = pytest.mark.parametrize("engine", ENGINES)


def layer_of(cell, engine: str, **keywords) -> ca.Recurrent:
    torch.manual_seed(0)
    return ca.Recurrent(cell, D, H, engine=engine, dtype=torch.float64, **keywords)


def weights(layer: ca.Recurrent) -> dict[str, Tensor]:
    return {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return tuple(torch.randn(shape, dtype=torch.float64) for shape in ((T, B, D), (B, H), (B, H)))


def kept(keep: float, *shape: int, scaled: bool = False) -> Tensor:
    mask = (torch.rand(shape) < keep).double()
    return mask / keep if scaled else mask


def lstm_cell(p: dict[str, Tensor]) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """PyTorch's LSTMCell with the layer's weights, differentiable into them."""
    W, U, b = (torch.cat([p[f"{letter}_{gate}"] for gate in "ifco"]) for letter in "WUb")
    module = nn.LSTMCell(D, H, dtype=torch.float64)
    named = {"weight_ih": W, "weight_hh": U, "bias_ih": b, "bias_hh": torch.zeros_like(b)}
    return lambda x, h, c: torch.func.functional_call(module, named, (x, (h, c)))


def same(layer: ca.Recurrent, got: Tensor, want: Tensor) -> None:
    """Values, and the gradient of every parameter under one loss."""
    assert_close(got, want)
    probe = torch.randn(want.shape, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((y * probe).sum(), list(layer.parameters()), retain_graph=True) for y in (got, want)
    )
    for name, a, b in zip(dict(layer.named_parameters()), ours, theirs, strict=True):
        assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def loop(step: Callable[..., tuple[Tensor, ...]], x: Tensor, *states: Tensor) -> Tensor:
    """The first state at every step."""
    out = []
    for t in range(len(x)):
        states = step(t, x[t], *states)
        out.append(states[0])
    return torch.stack(out)


# -- zoneout


@every_engine
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_zoneout(engine: str, training: bool) -> None:
    """Krueger et al. (2017): h is computed from the c that is not zoned out."""
    layer, (x, h, c) = layer_of(ca.zoneout(cells.lstm, h=0.3, c=0.6), engine).train(training), inputs()
    m_h, m_c = kept(0.3, T, B, H), kept(0.6, T, B, H)
    if not training:
        m_h, m_c = torch.full_like(m_h, 0.3), torch.full_like(m_c, 0.6)
    theirs = lstm_cell(weights(layer))

    def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        new_h, new_c = theirs(x, h, c)
        return m_h[t] * h + (1 - m_h[t]) * new_h, m_c[t] * c + (1 - m_c[t]) * new_c

    masks = {"zoneout_h": m_h, "zoneout_c": m_c} if training else {}
    y, (last, _) = layer(x, (h[None], c[None]), **masks)
    assert torch.equal(y[-1], last[0])
    same(layer, y, loop(step, x, h, c))


def test_zoneout_keeps_old_values_in_training() -> None:
    layer = ca.Recurrent(ca.zoneout(cells.gru, h=0.5), D, 200, num_layers=2, bidirectional=True)
    _, _, seen = layer(torch.randn(T, B, D), record=("h", "zoneout_h"))
    for row in (0, 2):  # the forward direction of both layers
        h, mask = seen["h"][row], seen["zoneout_h"][row]
        stays = mask[1:] == 1
        assert torch.equal(h[1:][stays], h[:-1][stays]) and abs(mask.mean() - 0.5) < 0.05
    assert not torch.equal(seen["zoneout_h"][0], seen["zoneout_h"][2])


def test_a_state_that_starts_at_infinity_is_not_zoned_out() -> None:
    with pytest.raises(ca.CellError, match="the state m of slstm starts from -inf"):
        ca.zoneout(cells.slstm, h=0.1, m=0.1)
    ca.zoneout(cells.slstm, h=0.1, m=0.0)


def test_an_own_output_does_not_follow() -> None:
    """What is returned beside the states is computed from what is not zoned out."""

    @ca.cell
    def own(x, h, p):
        h = ca.tanh(p.W @ x + p.U @ h)
        return 2 * h, h

    layer = layer_of(ca.zoneout(own, h=0.5), "eager")
    x, h, _ = inputs()
    y, (last,) = layer(x[:1], (h[None],), zoneout_h=torch.ones(1, B, H, dtype=torch.float64))
    p = weights(layer)
    assert torch.equal(last[0], h)
    assert_close(y[0], 2 * torch.tanh(x[0] @ p["W"].T + h @ p["U"].T))


# -- dropout


@every_engine
def test_variational_dropout_of_the_lstm(engine: str) -> None:
    layer, (x, h, c) = layer_of(ca.variational_dropout(cells.lstm, x=0.2, h=0.4), engine), inputs()
    m_x, m_h = kept(0.8, B, D, scaled=True), kept(0.6, B, H, scaled=True)
    theirs = lstm_cell(weights(layer))
    want = loop(lambda t, x, h, c: theirs(m_x * x, m_h * h, c), x, h, c)
    same(layer, layer(x, (h[None], c[None]), dropout_x=m_x, dropout_h=m_h)[0], want)


@every_engine
@pytest.mark.parametrize("before", [False, True], ids=["reset after", "reset before"])
def test_variational_dropout_of_the_gru(engine: str, before: bool) -> None:
    """Only the products read the masked state, and r * h is masked once."""
    cell = cells.gru_reset_before if before else cells.gru
    layer, (x, h, _) = layer_of(ca.variational_dropout(cell, h=0.4), engine), inputs()
    m, p = kept(0.6, B, H, scaled=True), weights(layer)

    def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
        seen = m * h
        r = torch.sigmoid(F.linear(x, p["W_r"], p["b_r"]) + F.linear(seen, p["U_r"]))
        z = torch.sigmoid(F.linear(x, p["W_z"], p["b_z"]) + F.linear(seen, p["U_z"]))
        of_x = F.linear(x, p["W_n"], p["b_n"])
        n = torch.tanh(of_x + (F.linear(r * seen, p["U_n"]) if before else r * F.linear(seen, p["U_n"], p["b_hn"])))
        return ((1 - z) * n + z * h,)

    y = layer(x, (h[None],), dropout_h=m)[0]
    if not before:
        plain = gru_oracle(p, x, (h,))[0]
        assert_close(layer.eval()(x, (h[None],))[0], plain)  # a mask's expectation is 1
    same(layer, y, loop(step, x, h))


def test_variational_masks_stay_for_a_sequence_and_differ_by_layer() -> None:
    layer = ca.Recurrent(ca.variational_dropout(cells.lstm, x=0.5, h=0.5), D, 50, num_layers=2)
    _, _, seen = layer(torch.randn(T, B, D), record=("dropout_h",))
    mask = seen["dropout_h"]
    assert torch.equal(mask[:, 0], mask[:, -1]) and set(mask.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(mask[0], mask[1])


@every_engine
def test_recurrent_dropout_drops_the_candidate(engine: str) -> None:
    """Semeniuta et al. (2016): where the mask is zero the cell remembers, and adds nothing."""
    layer, (x, h, c) = layer_of(ca.recurrent_dropout(cells.lstm, g=0.5), engine), inputs()
    p, m = weights(layer), kept(0.5, T, B, H, scaled=True)

    def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        f, i, o, g = (F.linear(x, p[f"W_{k}"], p[f"b_{k}"]) + F.linear(h, p[f"U_{k}"]) for k in "fioc")
        c = f.sigmoid() * c + i.sigmoid() * (m[t] * g.tanh())
        return o.sigmoid() * c.tanh(), c

    same(layer, layer(x, (h[None], c[None]), dropout_g=m)[0], loop(step, x, h, c))


@every_engine
def test_weight_dropout(engine: str) -> None:
    """PyTorch's LSTM with weights dropped by PyTorch: one draw a call, for all steps."""
    layer, (x, h, c) = layer_of(cells.lstm, engine, weight_dropout={"U_*": 0.5, "W_f": 0.25}), inputs()
    torch.manual_seed(5)
    y = layer(x, (h[None], c[None]))[0]
    torch.manual_seed(5)
    rates = {**{f"U_{k}": 0.5 for k in "fioc"}, "W_f": 0.25}
    dropped = {n: F.dropout(p, rates[n]) if n in rates else p for n, p in weights(layer).items()}
    same(layer, y, lstm_oracle(dropped, x, (h, c))[0])
    assert not torch.equal(layer(x, (h[None], c[None]))[0], y)
    assert_close(layer.eval()(x, (h[None], c[None]))[0], lstm_oracle(weights(layer), x, (h, c))[0])


def test_weight_dropout_differs_by_layer_and_leaves_fixed_parameters() -> None:
    @ca.cell(fixed={"U_f": 1.0})
    def cell(x, h, p):
        return ca.sigmoid(p.U_f @ h) * ca.tanh(p.W @ x + p.U @ h)

    layer = ca.Recurrent(cell, D, H, weight_dropout={"U*": 0.5})
    assert torch.equal(layer._weights("_l0")["U_f"], torch.ones(H, H))
    assert (layer._weights("_l0")["U"] == 0).any()
    with pytest.raises(ValueError, match="weight_dropout holds for a whole sequence"):
        layer.step(torch.zeros(1, D))
    with pytest.raises(ValueError, match="weight_dropout has 'V_\\*', which matches no parameter"):
        ca.Recurrent(cell, D, H, weight_dropout={"V_*": 0.5})
    with pytest.raises(ValueError, match="weight_dropout has 'U_f', which matches U_f, which the cell fixes"):
        ca.Recurrent(cell, D, H, weight_dropout={"U_f": 0.5})
    with pytest.raises(ValueError, match="is 1, expected a probability"):
        ca.Recurrent(cell, D, H, weight_dropout={"U": 1})
    assert "weight_dropout={'U*': 0.5}" in repr(layer)


# -- normalisation


def normed(sums: Tensor, gain: Tensor) -> Tensor:
    return F.layer_norm(sums, sums.shape[-1:], gain)


@every_engine
def test_layer_normalized_lstm(engine: str) -> None:
    layer, (x, h, c) = layer_of(ca.layer_normalized(cells.lstm, "c"), engine), inputs()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    p = weights(layer)

    def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        f, i, o, g = (
            normed(x @ p[f"W_{k}"].T, p[f"gain_W_{k}"]) + normed(h @ p[f"U_{k}"].T, p[f"gain_U_{k}"]) + p[f"b_{k}"]
            for k in "fioc"
        )
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * F.layer_norm(c, (H,), p["gain_c"], p["bias_c"]).tanh(), c

    same(layer, layer(x, (h[None], c[None]))[0], loop(step, x, h, c))


@every_engine
def test_layer_normalized_gru(engine: str) -> None:
    layer, (x, h, _) = layer_of(ca.layer_normalized(cells.gru), engine), inputs()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    p = weights(layer)

    def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
        of_x, of_h = (
            {k: normed(v @ p[f"{w}_{k}"].T, p[f"gain_{w}_{k}"]) for k in "rzn"} for w, v in (("W", x), ("U", h))
        )
        r, z = (torch.sigmoid(of_x[k] + of_h[k] + p[f"b_{k}"]) for k in "rz")
        n = torch.tanh(of_x["n"] + p["b_n"] + r * (of_h["n"] + p["b_hn"]))
        return ((1 - z) * n + z * h,)

    same(layer, layer(x, (h[None],))[0], loop(step, x, h))


def test_four_gates_in_one_product_are_the_published_cell() -> None:
    """Ba et al. normalise the gates together: one product of x and one of h, which is cells.layer_norm_lstm."""

    @ca.cell
    def stacked(x, h, c, p):
        f, i, o, g = ca.split(p.U @ h + p.W @ x + p.b, h, h, h, h)
        c = ca.sigmoid(f) * c + ca.sigmoid(i) * ca.tanh(g)
        h = ca.sigmoid(o) * ca.tanh(c)
        return h, c

    letters = {"gain_U": "alpha_1", "gain_W": "alpha_2", "gain_c": "alpha_3", "bias_c": "beta_3"}
    made = ca.layer_normalized(stacked, "c")
    call = make_call(cells.layer_norm_lstm, {"input_size": D, "hidden_size": H}, 1, B)
    call.params |= {name: torch.zeros_like(call.params[name]) for name in ("beta_1", "beta_2")}
    ours = ca.plain({name: call.params[letters.get(name, name)] for name in made.step.parameters})
    got = made(call.x[0], *call.hx, ours)
    for a, b in zip(got, cells.layer_norm_lstm(call.x[0], *call.hx, ca.plain(call.params)), strict=True):
        assert_close(a, b)


# -- bounds


@every_engine
def test_clipped_gradients_are_those_of_hooks(engine: str) -> None:
    bound = {"h": 0.02, "c": 0.05}
    layer, (x, h, c) = layer_of(ca.clip_gradients(cells.lstm, **bound), engine), inputs()
    h, c, x = h.requires_grad_(), c.requires_grad_(), x.requires_grad_()
    theirs = lstm_cell(weights(layer))
    touched = []

    def held(state: Tensor, limit: float) -> Tensor:
        def hook(gradient: Tensor) -> Tensor:
            touched.append(bool((gradient.abs() > limit).any()))
            return gradient.clamp(-limit, limit)

        state = state * 1
        state.register_hook(hook)
        return state

    want = loop(lambda t, x, h, c: theirs(x, held(h, bound["h"]), held(c, bound["c"])), x, h, c)
    got = layer(x, (h[None], c[None]))[0]
    same(layer, got, want)
    assert any(touched)
    for leaf in (x, h, c):
        assert_close(*(torch.autograd.grad((y**2).sum(), leaf, retain_graph=True)[0] for y in (got, want)))
    free = ca.Recurrent(cells.lstm, D, H, engine=engine, dtype=torch.float64)
    free.load_state_dict(layer.state_dict())
    assert torch.equal(free(x, (h[None], c[None]))[0], got)


@every_engine
def test_clipped_gradients_of_convolutions(engine: str) -> None:
    """A kernel of one position is a matrix. What would be clipped in shares is refused."""
    layer = layer_of(ca.clip_gradients(cells.lstm, 0.02), engine)
    images = ca.ConvRecurrent(layer.cell, D, H, kernel_size=1, dims=1, engine=engine, dtype=torch.float64)
    start = {name: value if value.dim() == 1 else value[..., None] for name, value in layer.state_dict().items()}
    images.load_state_dict(start)
    x, _, _ = inputs()
    y = images(x[..., None])[0][..., 0]
    ours, theirs = (
        torch.autograd.grad((y**2).sum(), list(m.parameters())) for m, y in ((layer, layer(x)[0]), (images, y))
    )
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b.view_as(a))
    shared = ca.ConvRecurrent(ca.clip_gradients(cells.gru, 0.02), D, H, kernel_size=1, dims=1, dtype=torch.float64)
    with pytest.raises(
        CellError, match="a gradient is clipped that comes from products of several stages, or from one"
    ):
        shared(x[..., None])


@every_engine
def test_clipped_states(engine: str) -> None:
    """Sak et al. (2014): c is clipped, and h is computed from the clipped c."""
    layer, (x, h, c) = layer_of(ca.clip_states(cells.lstm, c=0.3), engine), inputs()
    p = weights(layer)

    def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        f, i, o, g = (F.linear(x, p[f"W_{k}"], p[f"b_{k}"]) + F.linear(h, p[f"U_{k}"]) for k in "fioc")
        c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).clamp(-0.3, 0.3)
        return o.sigmoid() * c.tanh(), c

    y, (_, last) = layer(x, (h[None], c[None]))
    assert last.abs().max() <= 0.3
    same(layer, y, loop(step, x, h, c))


def test_a_clipped_gradient_is_differentiated_again_and_by_vmap() -> None:
    def clipped(a: Tensor) -> Tensor:
        return (ca.clip_gradient(a, 3.0) ** 2).sum()

    a = torch.tensor([0.1, 3.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(clipped(a), a, create_graph=True)
    assert_close(first, torch.tensor([0.2, 3.0], dtype=torch.float64))
    assert torch.autograd.grad(first.sum(), a)[0].tolist() == [2.0, 0.0]
    rows = torch.tensor([[0.1], [3.0]], dtype=torch.float64)
    assert_close(torch.vmap(torch.func.grad(clipped))(rows), torch.tensor([[0.2], [3.0]], dtype=torch.float64))


# -- starts of a layer


def test_a_layer_starts_as_it_is_told() -> None:
    start = {"b_f": 2.0, "U_*": nn.init.orthogonal_, "b_[io]": [-1.0, 1.0]}
    layer = ca.Recurrent(cells.lstm, D, H, num_layers=2, init=start)
    for end in ("_l0", "_l1"):
        p = {name.removesuffix(end): value for name, value in layer.named_parameters() if name.endswith(end)}
        assert p["b_f"].tolist() == [2.0] * H and p["b_i"].tolist() == [-1.0, -1.0, 1.0, 1.0]
        torch.testing.assert_close(p["U_c"] @ p["U_c"].T, torch.eye(H))
        assert 0 < p["b_c"].abs().max() <= H**-0.5
    assert ca.Recurrent(cells.lstm, D, H).b_f_l0.tolist() == [1.0] * H
    assert ca.Recurrent(ca.layer_normalized(cells.lstm), D, H).gain_U_f_l0.tolist() == [1.0] * H
    with pytest.raises(ValueError, match="init has 'b_q', which matches no parameter; the learned parameters are: W_f"):
        ca.Recurrent(cells.lstm, D, H, init={"b_q": 1.0})
