"""On-line learning: its gradients are those of back-propagation through the same equations, without unrolling."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import carousel as ca
from carousel import cells, engines
from carousel.graph import Cell
from core_runner import each_variant
from tolerances import assert_close

SIZES = {"input_size": 3, "hidden_size": 4, "output_size": 2}
FULL = {  # cells whose states depend on each other: real-time recurrent learning
    "elman": cells.elman,
    "elman_relu": cells.elman.with_(f=ca.relu),
    "lstm": cells.lstm,
    "gru": cells.gru,
    "gru_reset_before": cells.gru_reset_before,
    "peephole_lstm": cells.peephole_lstm,
    "lstm_1997": cells.lstm_1997,
    "minimal_gated_unit": cells.minimal_gated_unit,
    "multiplicative_lstm": cells.multiplicative_lstm,
    "layer_norm_lstm": cells.layer_norm_lstm,
    "scrn": cells.scrn,
    "mi_lstm": cells.mi_lstm,
    "ugrnn": cells.ugrnn,
    "nested_lstm": cells.nested_lstm,
}
LOCAL = {  # those whose state depends on itself alone, by themselves or as they are truncated
    "context_unit": cells.context_unit,
    "indrnn": cells.indrnn.with_(f=ca.tanh),
    "lstm_1997": cells.lstm_1997.with_(truncate=True, biased="ioc"),
    "min_gru": cells.min_gru,
    "min_lstm": cells.min_lstm,
    "sru": cells.sru,
}


@ca.cell(init={"b_f": 1.0}, widths={"i": "blocks", "f": "blocks", "o": "blocks"})
def forget_gate(x, h, s, p):
    """The LSTM of 2000: blocks of cells, truncated."""
    h = ca.stop_gradient(h)
    i = ca.sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = ca.sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    o = ca.sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    s = ca.expand(f, like=s) * s + ca.expand(i, like=s) * ca.tanh(p.W_c @ x + p.U_c @ h)
    h = ca.expand(o, like=s) * ca.tanh(s)
    return h, s


@ca.cell
def read_twice(x, h, p):
    """Two products of the input in one sum, and the input by itself."""
    h = p.d * h + p.W @ x + p.V @ x
    return h


def net_of(cell: Cell, **settings) -> ca.Online:
    sizes = {**SIZES, "blocks": 2, "context_size": 3, "out_size": 2}
    given = {"rule": ca.SGD(0.1), "update": "sequence", "nets": 3, "seed": 1, **settings}
    own = {name: given.pop(name, sizes.get(name)) for name in cell.sizes}
    return ca.Online(cell, **own, **given)


def by_back_propagation(net: ca.Online, x: Tensor, targets: Tensor, when: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and gradients of one net, unrolled by PyTorch."""
    params = {name: value.clone().requires_grad_() for name, value in net.parameters.items()}
    widths = net.cell.state_widths(**net.sizes)
    hx = [torch.full((1, w), net.cell.initial[s], dtype=x.dtype) for s, w in zip(net.cell.states, widths, strict=True)]
    found: dict[str, list[Tensor]] = {name: [] for name in params if net.cell.fixed_value(name) is None}
    outputs = []
    for n in range(net.nets):
        own = {name: value[n] for name, value in params.items()}
        y, _, _ = engines.PREFERENCE["eager"].scan(
            net.cell, net.sizes, x[:, n : n + 1], hx, own, sides={}, lengths=None, resets=None, initial=hx
        )
        loss = ((y[:, 0] - targets[:, n]) ** 2 * when[:, n, None]).sum() / 2
        gradients = torch.autograd.grad(loss, [own[name] for name in found], allow_unused=True)
        for name, gradient in zip(found, gradients, strict=True):
            found[name].append(torch.zeros_like(own[name]) if gradient is None else gradient)
        outputs.append(y[:, 0].detach())
    return torch.stack(outputs, 1), {name: torch.stack(of) for name, of in found.items()}


def agree(net: ca.Online, T: int = 7) -> None:
    torch.manual_seed(0)
    K = net.cell.output_width(**net.sizes)
    x = torch.randn(T, net.nets, net.sizes["input_size"], dtype=net.dtype)
    targets, when = torch.rand(T, net.nets, K, dtype=net.dtype), torch.rand(T, net.nets) < 0.5
    y, (want, gradients) = net.learn(x, targets, when=when), by_back_propagation(net, x, targets, when)
    torch.testing.assert_close(y, want, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(net.gradient(), gradients, rtol=1e-10, atol=1e-12)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


def seen_of(cell: Cell) -> tuple[str, ...]:
    return (cell.states[0],)


@pytest.mark.parametrize("name", FULL)
def test_real_time_recurrent_learning_is_back_propagation(name: str) -> None:
    agree(net_of(ca.readout(FULL[name], sees=seen_of(FULL[name]))))


@pytest.mark.parametrize("name", ["lstm_1997", "forget_gate", *LOCAL])
@pytest.mark.parametrize("form", ["traces", "exact"])
def test_traces_are_back_propagation_through_the_same_equations(name: str, form: str) -> None:
    cell = forget_gate if name == "forget_gate" else LOCAL[name]
    agree(net_of(ca.readout(cell, sees=seen_of(cell), direct=True), form=form))


def a_net(update: str = "step", **settings) -> ca.Online:
    """Blocks of cells with momentum and decay, and an input of which the index is looked up."""
    rule = ca.SGD(0.3, momentum=0.5, decay=0.99)
    cell = ca.readout(cells.lstm_1997.with_(truncate=True), direct=True)
    return net_of(cell, rule=rule, update=update, **{"nets": 3, "input_size": 35, **settings})


def some_data(T: int = 30, nets: int = 3, D: int = 35) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(3)
    return {
        "inputs": torch.randint(-1, D, (T, nets), generator=g),
        "targets": torch.rand(T, nets, 2, generator=g, dtype=torch.float64),
        "when": torch.rand(T, nets, generator=g) < 0.4,
        "starts": torch.rand(T, nets, generator=g) < 0.2,
    }


def same(a: ca.Online, b: ca.Online) -> None:
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_chunks_are_the_whole(update: str) -> None:
    whole, parts, data = a_net(update), a_net(update), some_data()
    y = whole.learn(**data)
    chunks = [parts.learn(**{k: v[at : at + 10] for k, v in data.items()}) for at in (0, 10, 20)]
    assert torch.equal(torch.cat(chunks), y)
    same(whole, parts)


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_a_net_alone_is_the_net_among_others(update: str) -> None:
    every, data = a_net(update, nets=19), some_data(nets=19)
    start = {name: value.clone() for name, value in every.parameters.items()}
    y = every.learn(**data)
    for n in (0, 15, 16, 18):
        alone = a_net(update, nets=1)
        for name, value in start.items():
            alone.parameters[name][0] = value[n]
        assert torch.equal(alone.learn(**{k: v[:, n : n + 1] for k, v in data.items()})[:, 0], y[:, n])
        for name, value in every.parameters.items():
            assert torch.equal(alone.parameters[name][0], value[n])


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_a_state_that_is_loaded_goes_on_with_the_same_bits(update: str) -> None:
    first, second, data = a_net(update), a_net(update, seed=9), some_data()
    first.predict(data["inputs"])
    first.learn(**data)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.learn(**data), second.learn(**data))
    assert torch.equal(first.predict(data["inputs"]), second.predict(data["inputs"]))
    same(first, second)


@pytest.mark.parametrize("cell", [cells.lstm_1997.with_(truncate=True), forget_gate, read_twice])
@pytest.mark.parametrize("D", [4, 40])
def test_indices_are_inputs_with_one_1(cell: Cell, D: int) -> None:
    sparse, dense = (
        net_of(ca.readout(cell, direct=True), update="step", input_size=D, hidden_size=D) for _ in range(2)
    )
    data = some_data(D=D)
    index = data.pop("inputs")
    x = torch.nn.functional.one_hot(index + 1, D + 1)[..., 1:].double()
    torch.testing.assert_close(sparse.learn(index, **data), dense.learn(x, **data), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(sparse.state_dict(), dense.state_dict(), rtol=1e-12, atol=1e-13)


def test_lengths_end_each_net_by_itself() -> None:
    net, data, lengths = a_net(), some_data(), torch.tensor([0, 12, 30])
    y = net.learn(**data, lengths=lengths)
    for n in range(3):
        alone = a_net()
        alone.learn(**{k: v[: lengths[n]] for k, v in data.items()})
        assert not y[lengths[n] :, n].any()
        for name in net.parameters:
            assert torch.equal(net.parameters[name][n], alone.parameters[name][n])


def step_by_step(net: ca.Online, learns: bool, tolerance: float, begins: Tensor, data: dict[str, Tensor]) -> Tensor:
    """Takes single steps, those of the nets that do not rest. Returns which they were."""
    rests, taken = torch.zeros(net.nets, dtype=torch.bool), torch.zeros_like(begins)
    for t in range(len(begins)):
        inputs, targets, when, starts = (data[k][t : t + 1] for k in ("inputs", "targets", "when", "starts"))
        fresh = (starts & ~rests) | (rests & begins[t])
        taken[t] = ~(rests & ~fresh[0])
        if learns:
            y = net.learn(inputs, targets, when, fresh, taken[t].long())
        else:
            y = net.predict(inputs, fresh, taken[t].long())
        off = when[0] & ((y - targets)[0].abs() > tolerance).any(1)
        rests = torch.where(taken[t], off, rests)
    return taken


@pytest.mark.parametrize("update", ["step", "sequence"])
@pytest.mark.parametrize("learns", [True, False])
def test_a_net_that_is_off_rests_until_it_begins_again(update: str, learns: bool) -> None:
    net, other, data = a_net(update), a_net(update), some_data(T=60)
    begins = torch.rand(60, 3, generator=torch.Generator().manual_seed(1)) < 0.2
    given = {**data, "tolerance": 0.45, "begins": begins}
    y = net.learn(**given) if learns else net.predict(**given)
    taken = step_by_step(other, learns, 0.45, begins, data)
    assert torch.equal(net.taken, taken) and 0.2 < taken.double().mean() < 0.9
    assert not y[~taken].any() and (y[taken] != 0).all()
    same(net, other)


def test_a_net_that_is_off_begins_again_at_starts() -> None:
    net, other, data = a_net(), a_net(), some_data()
    net.learn(**data, tolerance=0.45)
    taken = step_by_step(other, True, 0.45, data["starts"], data)
    assert torch.equal(net.taken, taken) and not taken.all()
    same(net, other)


def test_rest_ends_with_the_call() -> None:
    net, data = a_net(), some_data()
    net.learn(**data, tolerance=0.0)
    assert not net.taken.all()
    net.learn(**data)
    assert net.taken.all()
    net.learn(**data, lengths=torch.tensor([0, 12, 30]))
    assert net.taken.sum(0).tolist() == [0, 12, 30]


def test_prediction_disturbs_nothing() -> None:
    net, other, data = a_net(), a_net(), some_data()
    for _ in range(2):
        net.predict(data["inputs"][:7])
        assert torch.equal(net.learn(**data), other.learn(**data))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set_agrees(dtype: torch.dtype) -> None:
    data, found = some_data(), []
    for _ in each_variant():
        net = a_net(dtype=dtype)
        found.append((net.learn(**data), net.parameters))
    for one in found[1:]:
        assert_close(one[0], found[0][0])
        for name, value in one[1].items():
            assert_close(value, found[0][1][name])


def test_the_jacobian_is_that_of_the_outputs() -> None:
    net = net_of(ca.readout(cells.lstm), nets=2)
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    net.learn(x[:4], torch.zeros(4, 2, 2, dtype=torch.float64))
    jacobian = net.jacobian(x[4])
    for k in range(2):
        # the gradient of an output is that of (y - t)^2 / 2 where y - t = 1
        y, _ = by_back_propagation(net, x, x[..., :2], torch.zeros(5, 2))
        targets = y.clone()
        targets[4, :, k] -= 1
        last = torch.zeros(5, 2)
        last[4] = 1
        _, gradients = by_back_propagation(net, x, targets, last)
        torch.testing.assert_close({n: j[:, k] for n, j in jacobian.items()}, gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "output, target", [(ca.sigmoid, torch.rand(7, 3, 2, dtype=torch.float64)), (ca.softmax, torch.randint(2, (7, 3)))]
)
def test_cross_entropy(output, target: Tensor) -> None:
    net = net_of(ca.readout(cells.gru, output=output), loss="cross entropy")
    x = torch.randn(7, 3, 3, dtype=torch.float64)
    net.learn(x, target)
    params = {name: value[1].clone().requires_grad_() for name, value in net.parameters.items()}
    hx = [torch.zeros(1, 4, dtype=torch.float64)]
    y, _, _ = engines.PREFERENCE["eager"].scan(
        net.cell, net.sizes, x[:, 1:2], hx, params, sides={}, lengths=None, resets=None, initial=hx
    )
    if output is ca.softmax:
        loss = torch.nn.functional.nll_loss(y[:, 0].log(), target[:, 1], reduction="sum")
    else:
        loss = torch.nn.functional.binary_cross_entropy(y[:, 0], target[:, 1], reduction="sum")
    loss.backward()
    for name, value in params.items():
        torch.testing.assert_close(net.gradient()[name][1], value.grad, rtol=1e-10, atol=1e-12)
