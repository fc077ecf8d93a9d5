"""The xLSTM blocks and their stack, against the authors' package on copied weights, and by what they guarantee."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from xlstm.blocks.mlstm import backends

import carousel as ca
from carousel.nets.xlstm.slstm_of_two import slstm_of_two
from tolerances import TOLERANCES, assert_close
from xlstm_package import copied, ours, package, pair

F64 = torch.float64
STACKS = {
    "mLSTM": ("m", 4),
    "mLSTM, one head": ("m", 1),
    "sLSTM": ("s", 4),
    "sLSTM, one head": ("s", 1),
    "[1:1]": ("ms", 4),
    "[1:1], one head": ("ms", 1),
    "[3:1]": ("mmms", 4),
    "[3:1], one head": ("mmms", 1),
}
every_stack = pytest.mark.parametrize(("kinds", "heads"), STACKS.values(), ids=STACKS)
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, F64], ids=["float32", "float64"])


# -- the package beside ours


@contextmanager
def without_eps(theirs: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves out what both add to the denominator. It is added to a number whose scale is exp(-m), and the package's
    parallel form has another m than its step, whose m starts at 0 as ours."""
    with monkeypatch.context() as patch:
        patch.setattr("carousel.nets.xlstm.mlstm_block.EPS", 0.0)
        for block in theirs.blocks:
            if hasattr(block.xlstm, "mlstm_cell"):
                patch.setattr(
                    block.xlstm.mlstm_cell, "backend_fn", partial(backends.parallel_stabilized_simple, eps=0.0)
                )
        yield


@both_dtypes
@every_stack
def test_outputs_and_gradients_are_the_packages(
    kinds: str, heads: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, theirs = pair(kinds, heads, dtype)
    x = torch.randn(9, 2, 16, dtype=dtype, requires_grad=True)
    with without_eps(theirs, monkeypatch):
        want = theirs(x.transpose(0, 1)).transpose(0, 1)
        y, _ = net(x)
    assert_close(y, want)
    weights = torch.randn_like(y) / 10
    got = torch.autograd.grad((y * weights).sum(), [x, *net.parameters()])
    # Through the copy, so that a gradient of the package's parameter is one of ours.
    names, values = zip(*((name, value) for name, value in copied(theirs).items()), strict=True)
    expected = torch.autograd.grad((want * weights).sum(), [x, *theirs.parameters()])
    assert_close(got[0], expected[0])
    through = torch.autograd.grad(
        values,
        list(theirs.parameters()),
        [dict(zip(dict(net.named_parameters()), got[1:], strict=True))[name] for name in names],
    )
    atol = TOLERANCES[dtype]["atol"] * len(net.blocks)  # each block that a gradient passes rounds it
    for (name, _), a, b in zip(theirs.named_parameters(), through, expected[1:], strict=True):
        assert_close(a, b, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


@both_dtypes
@every_stack
@torch.no_grad()
def test_steps_are_the_packages(kinds: str, heads: int, dtype: torch.dtype) -> None:
    """Outputs and all states; and its steps equal our sequence, with the eps that both have."""
    net, theirs = pair(kinds, heads, dtype)
    x = torch.randn(6, 2, 16, dtype=dtype)
    state, their_state, out = None, None, []
    for now in x:
        y, state = net.step(now, state)
        want, their_state = theirs.step(now.unsqueeze(1), their_state)
        assert_close(y, want.squeeze(1))
        out.append(want.squeeze(1))
    assert state is not None and their_state is not None
    for k, own in enumerate(state):
        found = their_state[f"block_{k}"]
        assert_close(own[0], found["conv_state"][0][:, 1:])  # theirs keeps one input more, which it never reads
        if kinds[k] == "s":
            assert_close(torch.stack(own[1:]), found["slstm_state"])
        else:
            C, n, m = found["mlstm_state"]
            assert_close(own[1], C.transpose(-1, -2))
            assert_close(own[2], n.squeeze(-1))
            assert_close(own[3], m[..., 0, 0])
    y, _ = net(x)
    assert_close(y, torch.stack(out))


def test_without_convolution_it_is_the_packages() -> None:
    net, theirs = pair("ss", 2, F64, conv=0)
    x = torch.randn(9, 2, 16, dtype=F64)
    assert_close(net(x)[0], theirs(x.transpose(0, 1)).transpose(0, 1))


def test_padding_is_the_packages() -> None:
    """As far as it knows rows: each alone, at its length."""
    net, theirs = pair("s", 4, F64)
    x, lengths = torch.randn(9, 3, 16, dtype=F64), torch.tensor([9, 1, 5])
    y, _ = net(x, lengths=lengths)
    for b, length in enumerate(lengths):
        assert_close(y[:length, b], theirs(x[None, :length, b])[0])


@pytest.mark.parametrize("kinds", ["ms", "mmmmmmms"])
@pytest.mark.parametrize("size", [64, 128])
def test_as_many_parameters_as_the_package(kinds: str, size: int) -> None:
    net, theirs = ours(kinds, 4, size), package(kinds, 4, size)
    assert count(net) == count(theirs)


def test_the_perceptron_may_be_another() -> None:
    """The paper's 4/3 of the features, where the package has 1.3; both are rounded up to multiples of 64."""
    assert count(ca.SLSTMBlock(1024)) == count(package("s", 4, 1024).blocks)
    assert count(ca.SLSTMBlock(1024, mlp_size=1408)) == count(package("s", 4, 1024, factor=4 / 3).blocks)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# -- where it starts


def test_it_starts_as_the_package() -> None:
    """What is drawn has the same deviation, what is set the same values, in every block of a stack."""
    torch.manual_seed(0)
    theirs = package("msms", 4, 64)
    theirs.reset_parameters()
    net, expected = ours("msms", 4, 64), copied(theirs)
    for name, parameter in net.named_parameters():
        want = expected[name]
        if parameter.numel() < 20 or want.std() == 0 or "b_f" in name:
            loose = {"atol": 0.5, "rtol": 0.0} if name.endswith(".i.bias") else {}
            torch.testing.assert_close(parameter, want, **loose, msg=lambda text, name=name: f"{name}: {text}")
        else:
            assert parameter.std().item() == pytest.approx(want.std().item(), rel=0.25), name
            assert abs(parameter.mean().item()) < 0.25 * parameter.std().item(), name


def test_forget_gates_start_by_depth() -> None:
    """From 5 to -7 along every head, exponents 0.3 in the first block and 1.6 in the last."""
    first, last = (ca.SLSTMBlock(8, heads=2, place=(k, 3)).memory.b_f_l0 for k in (0, 2))
    u = torch.arange(4) / 3
    assert_close(first.detach(), (5 - 12 * u**0.3).repeat(2))
    assert_close(last.detach(), (5 - 12 * u**1.6).repeat(2))


# -- what every layer guarantees


def made(kinds: str, **options) -> ca.XLSTM:
    """A stack in float64 whose states matter."""
    net = ours(kinds, 2, 8, **options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return net


every_kind = pytest.mark.parametrize("kinds", ["m", "s", "ms"])


@every_kind
@pytest.mark.parametrize("cut", [0, 1, 2, 7, 11])
def test_two_chunks_are_the_whole(kinds: str, cut: int) -> None:
    net, x = made(kinds, chunk_size=4), torch.randn(11, 3, 8, dtype=F64)
    y, state = net(x)
    first, between = net(x[:cut])
    second, end = net(x[cut:], between)
    assert_close(torch.cat([first, second]), y)
    for a, b in zip(flat(end), flat(state), strict=True):
        assert_close(a, b)


def flat(state) -> list[Tensor]:
    return [part for block in state for part in block]


@every_kind
def test_steps_are_the_sequence(kinds: str) -> None:
    net, x = made(kinds, chunk_size=4), torch.randn(6, 3, 8, dtype=F64)
    y, final = net(x)
    state = None
    for t, now in enumerate(x):
        out, state = net.step(now, state)
        assert_close(out, y[t])
    for a, b in zip(flat(state), flat(final), strict=True):
        assert_close(a, b)


@every_kind
@pytest.mark.parametrize("given", [False, True])
def test_rows_end_where_they_end(kinds: str, given: bool) -> None:
    """Each row as if it were alone, from a state or from none; what lies past its end is never read."""
    net, lengths = made(kinds, chunk_size=4), torch.tensor([9, 0, 2, 5])
    x = torch.randn(9, 4, 8, dtype=F64)
    state = net(torch.randn(5, 4, 8, dtype=F64))[1] if given else None
    for b, length in enumerate(lengths.tolist()):
        x[length:, b] = torch.nan
    x.requires_grad_()
    y, final = net(x, state, lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        own = None if state is None else each(state, lambda part, b=b: part[b : b + 1])
        alone, end = net(x[:length, b : b + 1], own)
        assert_close(y[:length, b], alone[:, 0])
        assert not y[length:, b].any()
        for whole, single in zip(flat(final), flat(end), strict=True):
            assert_close(whole[b : b + 1], single)
    gradients = torch.autograd.grad(y.sin().sum(), [x, *net.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[0][5:, 3].any()


def each(state, change: Callable[[Tensor], Tensor]):
    return tuple(tuple(map(change, block)) for block in state)


@every_kind
def test_resets_start_afresh(kinds: str) -> None:
    """Also within the reach of the convolution, at the first step, and past a row's end, where they do nothing."""
    net, lengths = made(kinds, chunk_size=4), torch.tensor([11, 11, 5])
    x = torch.randn(11, 3, 8, dtype=F64)
    state = net(torch.randn(5, 3, 8, dtype=F64))[1]
    resets = torch.zeros(11, 3, dtype=torch.bool)
    for b, cuts in enumerate(([4, 5], [0, 9], [7])):
        resets[cuts, b] = True
    y, final = net(x, state, lengths=lengths, resets=resets)
    for b, pieces in enumerate(([0, 4, 5, 11], [0, 0, 9, 11], [0, 5])):
        own = each(state, lambda part, b=b: part[b : b + 1])
        for begin, end in zip(pieces, pieces[1:], strict=False):
            alone, own = net(x[begin:end, b : b + 1], own if begin == end or begin == 0 and pieces[1] else None)
            assert_close(y[begin:end, b], alone[:, 0])
        for whole, single in zip(flat(final), flat(own), strict=True):
            assert_close(whole[b : b + 1], single)


@every_kind
def test_layouts(kinds: str) -> None:
    net, x = made(kinds), torch.randn(7, 3, 8, dtype=F64)
    y, state = net(x)
    net.batch_first = True
    assert_close(net(x.transpose(0, 1))[0].transpose(0, 1), y)
    assert_close(net.step(x[0])[0], y[0])
    alone, own = net(x[:, 1])
    assert_close(alone, y[:, 1])
    for a, b in zip(flat(own), flat(state), strict=True):
        assert_close(a, b[1])
    assert_close(net.step(x[0, 1], own)[0], net.step(x[0], state)[0][1])
    lengths = torch.tensor([3, 7, 1])
    packed, _ = net(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert_close(pad_packed_sequence(packed)[0], net(x.transpose(0, 1), lengths=lengths)[0].transpose(0, 1))


@both_dtypes
def test_native_is_eager(dtype: torch.dtype) -> None:
    """The cell in the block, whose gates read two inputs, with clipped gradients."""
    if ca.info().engines["native"]:
        pytest.skip("the native engine is missing")
    block = made("s").blocks[0].to(dtype)
    x, lengths = torch.randn(7, 3, 8, dtype=dtype, requires_grad=True), torch.tensor([7, 0, 4])
    found = []
    for engine in ("native", "eager"):
        with ca.use_engine(engine):
            y, state = block(x, lengths=lengths)
        leaves = [x, *block.parameters()]
        # The first row's last m is the only one that is not the cell's constant start.
        found.append([y, *state[:4], state[4][0], *torch.autograd.grad(y.sin().sum() + state[1].sum(), leaves)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b)


def test_gradients_are_finite_differences() -> None:
    net = made("ms", conv_width=3)
    x = torch.randn(5, 2, 8, dtype=F64, requires_grad=True)
    state = each(net(torch.randn(3, 2, 8, dtype=F64))[1], lambda part: part.detach().requires_grad_())
    lengths, resets = torch.tensor([5, 3]), torch.zeros(5, 2, dtype=torch.bool)
    resets[2, 0] = True

    def run(x: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        y, new = net(x, (parts[:4], parts[4:]), lengths=lengths, resets=resets)
        return (y, *new[0], *new[1][:2])

    inputs = flat(state)
    inputs[-1].requires_grad_(False)  # no gradient flows through the sLSTM's m
    assert torch.autograd.gradcheck(run, (x, *inputs), fast_mode=True)


def test_gradients_that_recur_are_clipped() -> None:
    """At a bound that nothing reaches they are as they are; at one that all reach they are not."""
    x, found = torch.randn(9, 2, 8, dtype=F64), []
    torch.manual_seed(0)
    net = made("s")
    for bound in (None, 1e6, 1e-9):
        other = made("s", clip_gradient=bound)
        other.load_state_dict(net.state_dict())
        found.append(torch.autograd.grad(other(x)[0].square().sum(), other.blocks[0].memory.W_z_l0)[0])
    assert_close(found[1], found[0])
    assert not torch.allclose(found[2], found[0])
    assert "clip_gradients" in made("s").blocks[0].memory.cell.name


def test_it_is_one_to_pickle_and_to_load() -> None:
    net, x = made("ms"), torch.randn(5, 2, 8, dtype=F64)
    again = pickle.loads(pickle.dumps(net))
    assert_close(again(x)[0], net(x)[0])
    other = ours("ms", 2, 8).double()
    other.load_state_dict(net.state_dict())
    assert_close(other(x)[0], net(x)[0])
    other.reset_parameters()
    assert not torch.allclose(other(x)[0], net(x)[0])


def test_dropout_and_autocast() -> None:
    net, x = made("ms", dropout=0.5), torch.randn(5, 2, 8, dtype=F64)
    assert not torch.allclose(net(x)[0], net(x)[0])
    net.eval()
    y, state = net(x)
    assert_close(net(x)[0], y)
    net = net.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, state = net(x.float())
        net(x.float().bfloat16(), state)
    torch.testing.assert_close(low.double(), y, atol=0.1, rtol=0.1)


# -- it learns


def test_it_learns_parity() -> None:
    """Of up to eight bits: what needs a state that is read back."""
    torch.manual_seed(0)
    embed, block, read = nn.Embedding(2, 16), ca.SLSTMBlock(16, heads=1, conv_width=0), nn.Linear(16, 2)
    net = nn.ModuleList([embed, block, read])
    nn.init.normal_(block.memory.R_z_l0, std=0.25)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(400):
        bits = torch.randint(2, (8, 64))
        loss = nn.functional.cross_entropy(read(block(embed(bits))[0]).flatten(0, 1), bits.cumsum(0).flatten() % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bits = torch.randint(2, (8, 256))
    right = read(block(embed(bits))[0]).argmax(-1) == bits.cumsum(0) % 2
    assert right.float().mean() > 0.99


# -- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ca.XLSTM(8, 6), r"num_layers is 6, expected a multiple of 8, so that ratio \(7, 1\) comes out"),
        (lambda: ca.XLSTM(8, ratio=(0, 0)), r"ratio is \(0, 0\), expected two numbers"),
        (lambda: ca.XLSTM(8, 2, slstm_at=[2]), "slstm_at has 2, expected numbers from 0 to 1"),
        (lambda: ca.XLSTM(8, 4, (3, 1), slstm_at=[2]), "ratio and slstm_at are both given"),
        (lambda: ca.XLSTM(8, ratio=8), "ratio is 8, expected two numbers"),  # type: ignore[arg-type]
        (lambda: ca.XLSTM(8, ratio=()), r"ratio is \(\), expected two numbers"),
        (lambda: ca.XLSTM(8, slstm_at=[2]), "num_layers is None and slstm_at is given"),
        (lambda: ca.XLSTM(0), "size is 0, expected a positive whole number"),
        (lambda: ca.XLSTM(8, conv_width=0), "MLSTMBlock: conv_width is 0"),
        (lambda: ca.XLSTM(8, dropout=2), "dropout is 2, expected a probability"),
        (lambda: ca.SLSTMBlock(8, heads=3), "heads is 3, expected a whole number that divides size = 8"),
        (lambda: ca.SLSTMBlock(8, conv_width=-1), "conv_width is -1, expected 0"),
        (lambda: ca.SLSTMBlock(8, place=(1, 1)), r"place is \(1, 1\), expected \(k, n\)"),
        (lambda: ca.MLSTMBlock(8, heads=3), "heads is 3, expected a whole number that divides inner_size = 64"),
        (lambda: ca.MLSTMBlock(8, 2, inner_size=6), "inner_size is 6, expected a positive multiple of 4"),
    ],
)
def test_what_cannot_be_made_is_refused(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_what_does_not_fit_is_refused() -> None:
    net, x = ca.XLSTM(8, ratio=(1, 1), heads=2), torch.randn(5, 3, 8)
    _, state = net(x)
    with pytest.raises(ValueError, match=r"XLSTM: x has shape \(5, 3, 7\), expected \(T, B, D\) with D = 8"):
        net(x[..., 1:])
    with pytest.raises(ValueError, match=r"x has shape \(5, 3, 8\), expected \(B, D\) or \(D,\) with D = 8: one step"):
        net.step(x)
    with pytest.raises(TypeError, match="state is a tuple of 1, expected a tuple of 2, one for each block"):
        net(x, state[:1])
    with pytest.raises(TypeError, match=r"block 1: state is a tuple of 4, expected a tuple of 5: \(conv, h, c, n, m\)"):
        net(x, (state[0], state[1][1:]))
    with pytest.raises(ValueError, match=r"block 0: state's C has shape \(2, 2, 32, 32\), expected \(3, 2, 32, 32\)"):
        net(x, ((state[0][0], state[0][1][:2], *state[0][2:]), state[1]))
    with pytest.raises(ValueError, match="state's conv is torch.float32 on cpu, x is torch.float64"):
        net.double()(x.double(), state)
    with pytest.raises(TypeError, match="resets is float32, expected a bool tensor"):
        net.double()(x.double(), resets=torch.zeros(5, 3))


def test_the_cell_in_the_block_is_the_registered_one() -> None:
    """With the same input for all gates and one head, which makes its matrices full."""
    sizes = {"input_size": 4, "hidden_size": 4}
    inner = ca.Recurrent(slstm_of_two.with_(heads=1), **sizes).double()
    outer = ca.Recurrent(ca.cells.slstm.with_(heads=1), **sizes).double()
    with torch.no_grad():
        for name, value in outer.named_parameters():
            inner.get_parameter(name).copy_(value.view_as(inner.get_parameter(name)))
    x, found = torch.randn(6, 2, 4, dtype=F64), []
    for layer, sides in ((inner, {"u": x}), (outer, {})):
        y, state = layer(x, **sides)
        leaves = [layer.get_parameter(name) for name, _ in outer.named_parameters()]
        found.append([y, *state, *torch.autograd.grad(sum(part.sin().sum() for part in state), leaves)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b)
