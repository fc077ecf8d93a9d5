"""Nets around the cells, against PyTorch's and Keras's layers, and against what they must reduce to."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import nn

import carousel as ca
from carousel.nets.subsampling import join
from runs import ENGINES
from tolerances import assert_close

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras  # noqa: E402

F64 = torch.float64


# -- in depth


def linear(net: nn.Module, name: str, l: int) -> nn.Linear:
    """A torch.nn.Linear with the weights W_name and b_name of layer l."""
    W, b = getattr(net, f"W_{name}_l{l}"), getattr(net, f"b_{name}_l{l}")
    layer = nn.Linear(*reversed(W.shape), dtype=W.dtype)
    layer.weight, layer.bias = W, b
    return layer


def test_a_highway_network_is_the_papers() -> None:
    net = ca.InDepth(ca.cells.highway, size=6, depth=4).double()
    x = torch.randn(5, 6, dtype=F64, requires_grad=True)
    want = x
    for l in range(4):
        T = torch.sigmoid(linear(net, "t", l)(want))
        want = torch.tanh(linear(net, "h", l)(want)) * T + want * (1 - T)
    assert_close(net(x), want)
    leaves = [x, *net.parameters()]
    for got, expected in zip(*(torch.autograd.grad(y.sin().sum(), leaves) for y in (net(x), want)), strict=True):
        assert_close(got, expected)


@pytest.mark.parametrize("after", [ca.identity, ca.relu])
def test_a_residual_network_is_the_papers(after: Callable) -> None:
    net = ca.InDepth(ca.cells.residual.with_(after=after), size=6, depth=3).double()
    want = x = torch.randn(2, 5, 6, dtype=F64)
    for l in range(3):
        want = want + linear(net, "2", l)(torch.relu(linear(net, "1", l)(want)))
        want = after(want)
    assert_close(net(x), want)


@pytest.mark.parametrize("cell", [ca.cells.highway, ca.cells.residual], ids=lambda cell: cell.name)
def test_depth_is_time(cell: ca.Cell) -> None:
    """With the same weights in every layer, depth is the time axis of the recurrent layer."""
    net = ca.InDepth(cell, size=6, depth=5).double()
    layer = ca.Recurrent(cell, 1, 6).double()
    with torch.no_grad():
        for name in cell.shapes(input_size=1, hidden_size=6):
            for l in range(5):
                getattr(net, f"{name}_l{l}").copy_(getattr(layer, f"{name}_l0"))
    x = torch.randn(3, 6, dtype=F64)
    _, (h,) = layer(torch.zeros(5, 3, 1, dtype=F64), (x[None],))
    assert_close(net(x), h[0])


def test_the_cell_update_in_depth_is_the_lstms() -> None:
    """c = f * c + i * g of `torch.nn.LSTMCell` in each layer, where its gates see what the highway's see."""
    net = ca.InDepth(ca.cells.highway, size=4, depth=3).double()
    c = x = torch.randn(5, 4, dtype=F64)
    for l in range(3):
        cell = nn.LSTMCell(4, 4, dtype=F64)
        with torch.no_grad():
            W_t, b_t, W_h, b_h = (getattr(net, f"{name}_l{l}") for name in ("W_t", "b_t", "W_h", "b_h"))
            cell.weight_ih.copy_(torch.cat([W_t, -W_t, W_h, 0 * W_h]))  # i, f = 1 - i, g, o
            cell.bias_ih.copy_(torch.cat([b_t, -b_t, b_h, 0 * b_h]))
            cell.bias_hh.zero_()
            _, c = cell(c, (torch.zeros_like(c), c))
    assert_close(net(x), c)


def test_what_cannot_be_unrolled_in_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="lstm has the states h, c, expected a cell of one state that reads neither x"):
        ca.InDepth(ca.cells.lstm, size=4, depth=2)
    with pytest.raises(ValueError, match="gru .*reads neither x"):
        ca.InDepth(ca.cells.gru, size=4, depth=2)
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\), expected \(..., 4\)"):
        ca.InDepth(ca.cells.highway, size=4, depth=2)(torch.zeros(3, 5))
    with pytest.raises(TypeError, match="cell is a str, expected a cell"):
        ca.InDepth("highway", size=4, depth=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x is float64, the parameters are float32"):
        ca.InDepth(ca.cells.highway, size=4, depth=2)(torch.zeros(3, 4, dtype=F64))


def test_what_a_cell_fixes_is_not_learned_in_depth() -> None:
    @ca.cell(fixed={"b": 0.5})
    def fixed(x, h, p):
        return ca.tanh(p.U @ h + p.b)

    net = ca.InDepth(fixed, size=4, depth=2)
    assert [name for name, _ in net.named_parameters()] == ["U_l0", "U_l1"]
    x = torch.randn(3, 4)
    assert_close(net(x), torch.tanh(torch.tanh(x @ net.U_l0.T + 0.5) @ net.U_l1.T + 0.5))


@pytest.mark.parametrize("engine", ENGINES)
def test_depth_keeps_its_precision_under_autocast(engine: str) -> None:
    net, x = ca.InDepth(ca.cells.highway, size=4, depth=3, engine=engine), torch.randn(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    assert torch.equal(y, net(x))


# -- attention


def test_additive_attention_is_keras() -> None:
    attention = ca.AdditiveAttention(query_size=4, key_size=6, size=5)
    query, keys, lengths = torch.randn(3, 2, 4), torch.randn(7, 2, 6), torch.tensor([7, 3])
    theirs = keras.layers.AdditiveAttention(use_scale=True)
    q, k = attention.query(query).transpose(0, 1), attention.key(keys).transpose(0, 1)
    theirs.build([q.shape, k.shape, k.shape])
    theirs.scale.assign(attention.v.weight[0].detach())
    mask = torch.arange(7) < lengths[:, None]
    want, weights = theirs([q, keys.transpose(0, 1), k], mask=[None, mask], return_attention_scores=True)
    got, shares = attention(query, keys, lengths)
    assert_close(got, want.transpose(0, 1))
    assert_close(shares, weights.transpose(0, 1))


@pytest.mark.parametrize("dot", [False, True])
def test_multiplicative_attention_is_keras(dot: bool) -> None:
    attention = ca.MultiplicativeAttention(query_size=4, key_size=4 if dot else 6, dot=dot)
    query, keys, lengths = torch.randn(3, 2, 4), torch.randn(7, 2, 4 if dot else 6), torch.tensor([2, 7])
    k = (keys if attention.key is None else attention.key(keys)).transpose(0, 1)
    mask = torch.arange(7) < lengths[:, None]
    want = keras.layers.Attention()([query.transpose(0, 1), keys.transpose(0, 1), k], mask=[None, mask])
    assert_close(attention(query, keys, lengths)[0], want.transpose(0, 1))
    one, weights = attention(query[0], keys, lengths)
    assert_close(one, want[:, 0])
    assert weights[0, 2:].abs().max() == 0
    with pytest.raises(ValueError, match=r"lengths are \[0, 7\], expected numbers from 1 to 7"):
        attention(query, keys, [0, 7])


@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
@pytest.mark.parametrize("cell", [ca.cells.lstm, ca.cells.gru, ca.cells.projected_lstm], ids=lambda c: c.name)
def test_padding_changes_nothing(cell: ca.Cell, attention: str) -> None:
    """A row alone equals the row in a padded batch, whatever the padding holds."""
    if cell.name == "projected_lstm":
        cell = projected()
    net = ca.EncoderDecoder(cell, 9, 11, 5, 8, attention=attention, num_layers=2).double()
    source, target, lengths = torch.randint(9, (6, 3)), torch.randint(11, (4, 3)), torch.tensor([2, 6, 4])
    scores, weights = net(source, target, lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        alone, own = net(source[:length, b : b + 1], target[:, b : b + 1])
        assert_close(scores[:, b], alone[:, 0])
        assert_close(weights[:, b, :length], own[:, 0])


def test_what_a_net_of_two_stacks_cannot_read_is_refused() -> None:
    net = ca.EncoderDecoder(ca.cells.gru, 5, 6, embedding_size=3, hidden_size=4)
    source, target = torch.zeros(7, 2, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long)
    for wrong in (target[:0], target[:, :1], target[0]):
        with pytest.raises(ValueError, match=r"target has shape .* expected \(T, B\) and \(S, B\)"):
            net(source, wrong)
    with pytest.raises(ValueError, match="lengths lie between 3 and 8, expected 0 to 7"):
        net(source, target, lengths=[3, 8])
    with pytest.raises(ValueError, match="lengths are .*, expected numbers from 1"):
        net(source, target, lengths=[3, 0])
    with pytest.raises(ValueError, match=r"source has shape \(7,\), expected \(S, B\)"):
        net.generate(source[:, 0], start=0, stop=1)
    with pytest.raises(ValueError, match="max_steps is 0"):
        net.generate(source, start=0, stop=1, max_steps=0)


def test_cells_with_further_sizes_are_told_them() -> None:
    cell, tokens = ca.cells.projected_lstm, torch.zeros(4, 2, dtype=torch.long)
    net = ca.EncoderDecoder(cell, 5, 6, embedding_size=3, hidden_size=4, proj_size=2)
    assert net(tokens, tokens)[0].shape == (4, 2, 6) and net.encoder.sizes["proj_size"] == 2
    pyramid = ca.HierarchicalSubsampling(cell, 3, (4, 5), (1, 2), proj_size=2)
    assert pyramid(torch.randn(6, 2, 3))[0].shape == (3, 2, 4)
    assert ca.LSTMFCN(6, 2, cell=cell, proj_size=3)(torch.randn(2, 6, 1)).shape == (2, 2)
    with pytest.raises(TypeError, match="projected_lstm: proj_size missing"):
        ca.LSTMFCN(6, 2, cell=cell)


def test_frames_are_read_forward() -> None:
    for option in ("batch_first", "bidirectional"):
        with pytest.raises(ValueError, match=f"{option} was given, but frames are"):
            ca.EncoderForecaster(1, [4], 3, **{option: True})


def projected() -> ca.Cell:
    """An output that is narrower than the first state."""

    @ca.cell(widths={"y": 3})
    def narrow(x, h, p):
        h = ca.tanh(p.W @ x + p.U @ h)
        y = p.W_y @ h
        return y, h

    return narrow


@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
def test_it_learns_to_turn_sequences_round(attention: str) -> None:
    torch.manual_seed(1)
    net = ca.EncoderDecoder(ca.cells.gru, 6, 8, 8, 24, attention=attention)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        source = torch.randint(6, (4, 32))
        target = source.flip(0)
        scores, _ = net(source, torch.cat([torch.full((1, 32), 6), target]))
        wanted = torch.cat([target, torch.full((1, 32), 7)])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = torch.randint(6, (4, 100))
    tokens, weights = net.generate(source, start=6, stop=7, max_steps=8)
    assert (tokens[:4] == source.flip(0)).float().mean() > 0.95
    assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


# -- beside convolutions, and in a hierarchy


def test_lstm_fcn_sees_variables_as_steps() -> None:
    net = ca.LSTMFCN(length=9, num_classes=3, variables=2, hidden_size=4).eval()
    x = torch.randn(5, 9, 2)
    lstm = nn.LSTM(9, 4)
    with torch.no_grad():
        for letter, name in (("W", "weight_ih_l0"), ("U", "weight_hh_l0"), ("b", "bias_ih_l0")):
            parts = [getattr(net.recurrent, f"{letter}_{gate}_l0") for gate in "ifco"]
            getattr(lstm, name).copy_(torch.cat(parts))
        lstm.bias_hh_l0.zero_()
        branch = lstm(x.permute(2, 0, 1))[1][0][0]
        want = net.output(torch.cat([branch, net.convolutions(x.transpose(1, 2)).mean(-1)], -1))
    assert_close(net(x), want)
    with pytest.raises(ValueError, match=r"x has shape \(5, 8, 2\), expected \(B, T, D\) with T = 9 and D = 2"):
        net(x[:, 1:])


def test_windows_of_one_are_a_plain_stack() -> None:
    net = ca.HierarchicalSubsampling(ca.cells.lstm, 3, (4, 4), (1, 1)).double()
    stack = ca.Recurrent(ca.cells.lstm, 3, 4, num_layers=2, bidirectional=True).double()
    with torch.no_grad():
        for level, layer in enumerate(net.levels):
            for name, value in layer.named_parameters():
                stack.get_parameter(name.replace("_l0", f"_l{level}")).copy_(value)
    x, lengths = torch.randn(7, 3, 3, dtype=F64), torch.tensor([7, 0, 4])
    y, after = net(x, lengths)
    assert_close(y, stack(x, lengths=lengths)[0])
    assert after is not None and after.tolist() == lengths.tolist()


def test_hierarchical_rows_are_their_own() -> None:
    net = ca.HierarchicalSubsampling(ca.cells.gru, 2, (4, 5, 6), (2, 3, 1), between=(3, None)).double()
    lengths = torch.tensor([13, 5, 1, 12])
    x = torch.randn(13, 4, 2, dtype=F64)
    for b, length in enumerate(lengths.tolist()):
        x[length:, b] = torch.nan
    y, after = net(x, lengths)
    assert after is not None and after.tolist() == [3, 1, 1, 2]
    assert y.shape == (3, 4, net.output_size)
    for b, length in enumerate(lengths.tolist()):
        alone, _ = net(x[:length, b : b + 1])
        assert_close(y[: len(alone), b], alone[:, 0])
    with pytest.raises(ValueError, match="2 hidden_sizes, 1 windows and 1 between were given"):
        ca.HierarchicalSubsampling(ca.cells.gru, 2, (4, 5), (2,))
    with pytest.raises(ValueError, match="lengths lie between -1 and 14, expected 0 to 13"):
        net(x, [-1, 14, 1, 1])
    with pytest.raises(ValueError, match=r"x has shape \(13, 4\), expected \(T, B, D\) with D = 2"):
        net(x[..., 0])
    assert net(x[:, :0])[0].shape == (3, 0, net.output_size) and net(x[:0])[0].shape == (0, 4, net.output_size)


def test_windows_are_filled_with_zeros() -> None:
    x = torch.arange(1.0, 11).view(5, 1, 2)
    joined, lengths = join(x, 3, torch.tensor([4]))
    assert joined[:, 0].tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0]]
    assert lengths is not None and lengths.tolist() == [2]
