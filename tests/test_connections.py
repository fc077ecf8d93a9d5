"""Residual and highway connections around the layers of a stack."""

from __future__ import annotations

import pytest
import torch

import carousel as ca
from tolerances import assert_close

F64 = torch.float64


def layers_of(stack: ca.Recurrent) -> list[ca.Recurrent]:
    """The layers of a stack one by one, with its weights."""
    found = []
    for layer in range(stack.num_layers):
        width = stack.input_size if layer == 0 else stack.get_parameter("W_f_l1").shape[1]
        one = ca.Recurrent(stack.cell, width, stack.hidden_size, bidirectional=stack.bidirectional).double()
        with torch.no_grad():
            for name, value in one.named_parameters():
                value.copy_(stack.get_parameter(name.replace("_l0", f"_l{layer}")))
        found.append(one)
    return found


@pytest.mark.parametrize("kind", ["residual", "highway"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_its_layers_connected(kind: str, bidirectional: bool) -> None:
    stack = ca.Recurrent(ca.cells.lstm, 3, 4, num_layers=3, bidirectional=bidirectional, connections=kind).double()
    x, lengths = torch.randn(7, 3, 3, dtype=F64), torch.tensor([7, 0, 4])
    first, *above = layers_of(stack)
    want, _ = first(x, lengths=lengths)
    finals = [first(x, lengths=lengths)[1][1]]
    for k, layer in enumerate(above):
        y, (_, c) = layer(want, lengths=lengths)
        finals.append(c)
        if kind == "residual":
            want = want + y
        else:
            gate = stack.connections[k]
            t = torch.sigmoid(torch.nn.functional.linear(want, gate.W_t, gate.b_t))
            want = torch.lerp(want, y, t)
    got, (_, c) = stack(x, lengths=lengths)
    assert_close(got, want)
    assert_close(c, torch.cat(finals))
    assert not got[4:, 2].any() and not got[:, 1].any()
    got.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stack.parameters())


@pytest.mark.parametrize("kind", ["residual", "highway"])
def test_connections_hold_step_by_step(kind: str) -> None:
    stack = ca.Recurrent(ca.cells.gru, 3, 4, num_layers=2, connections=kind).double()
    x = torch.randn(5, 2, 3, dtype=F64)
    want, _ = stack(x)
    state, ys = None, []
    for now in x:
        y, state = stack.step(now, state)
        ys.append(y)
    assert_close(torch.stack(ys), want)


def test_images_are_carried_past_a_layer() -> None:
    layer = ca.ConvLSTM(2, 3, 3, num_layers=2, connections="highway")
    y, _ = layer(torch.randn(4, 2, 2, 5, 6))
    assert y.shape == (4, 2, 3, 5, 6)


def test_highways_start_open_and_anew() -> None:
    layer = ca.Recurrent(ca.cells.gru, 3, 4, num_layers=2, connections="highway")
    gate = layer.connections[0]
    assert (gate.b_t == -2).all() and gate.W_t.abs().max() <= 0.5
    before = gate.W_t.clone()
    layer.reset_parameters()
    assert not torch.equal(before, gate.W_t)


def test_what_cannot_be_connected_or_stacked() -> None:
    with pytest.raises(ValueError, match="connections is 'dense', expected 'residual' or 'highway', or None"):
        ca.Recurrent(ca.cells.gru, 3, 4, num_layers=2, connections="dense")
    with pytest.raises(ValueError, match="goes around the layers above the first, but num_layers is 1"):
        ca.Recurrent(ca.cells.gru, 3, 4, connections="residual")
    with pytest.raises(ValueError, match=r"gru_d: the state l has the shape \(3,\) in the first layer and \(4,\)"):
        ca.Recurrent(ca.cells.gru_d, 3, 4, num_layers=2)
