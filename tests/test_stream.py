"""`Stream`: one step at a time gives what the layer gives over the whole sequence."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import carousel as ca
from benchmarks import streaming, timing
from carousel import Cell, _core, cells
from carousel.cells import Entry
from core_runner import always_sharing, each_variant
from tolerances import assert_close

ENTRIES = [entry for entry in cells.entries() if isinstance(entry.cell, Cell)]
SIZES = {"input_size": 3, "hidden_size": 4}
T, B = 7, 2

every_cell = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def layer_of(entry: Entry, dtype: torch.dtype = torch.float64, **options: Any) -> ca.Recurrent:
    sizes = {name: SIZES.get(name, 2) for name in entry.cell.sizes}
    return ca.Recurrent(entry.cell, **{**SIZES, **sizes}, dtype=dtype, **options).eval()


def sides_of(layer: ca.Recurrent, kind: str, *shape: int) -> dict[str, Tensor]:
    cell = layer.cell
    declared = {n: side for n, side in cell.sides.items() if side.kind == kind and side.keep is None}
    dtype = next(layer.parameters()).dtype
    return {n: torch.rand(*shape, cell.side_width(n, **layer.sizes), dtype=dtype) for n in declared}


def steps(stream: ca.Stream, x: Tensor, sides: dict[str, Tensor]) -> Tensor:
    return torch.stack([stream(one, **{n: side[t] for n, side in sides.items()}).clone() for t, one in enumerate(x)])


def random_layers() -> list[torch.nn.Module]:
    return [ca.LSTM(3, 70, 2), ca.LSTM(3, 5, proj_size=2), ca.GRU(3, 70, 2, batch_first=True), ca.RNN(3, 5)]


# -- what it computes


@every_cell
def test_a_stream_gives_what_the_layer_gives(entry: Entry) -> None:
    layer = layer_of(entry)
    once, given = sides_of(layer, "sequence", B), sides_of(layer, "step", T, B)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    with torch.no_grad():
        y, final = layer(x, **once, **given)
    stream = ca.Stream(layer, B, **once)
    assert_close(steps(stream, x, given), y)
    for got, want in zip(stream.state, final, strict=True):
        assert_close(got, want)
    stream.reset()
    parts = [(x[:5], {n: s[:5] for n, s in given.items()}), (x[5:], {n: s[5:] for n, s in given.items()})]
    assert_close(torch.cat([stream.run(some, **own).clone() for some, own in parts]), y)
    assert stream.steps == T


@pytest.mark.parametrize("layer", random_layers(), ids=repr)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_are_those_of_the_whole_sequence(layer: Any, threads: int) -> None:
    x = torch.randn(T, B, 3)
    with torch.no_grad():
        y, final = layer(x.transpose(0, 1) if layer.batch_first else x)
    y = y.transpose(0, 1) if layer.batch_first else y
    for _ in each_variant():
        with always_sharing():
            stream = ca.Stream(layer, B, threads=threads)
            by_step, state = steps(stream, x, {}), stream.state
            stream.reset()
            at_once = stream.run(x.transpose(0, 1) if layer.batch_first else x)
    assert torch.equal(by_step, at_once.transpose(0, 1) if layer.batch_first else at_once)
    assert all(map(torch.equal, *((s,) if isinstance(s, Tensor) else s for s in (state, stream.state))))
    assert_close(by_step, y)
    assert_close(state, final)


def test_one_row_needs_no_batch() -> None:
    layer, x = ca.GRU(3, 4), torch.randn(T, 3)
    with torch.no_grad():
        y, h = layer(x)
    stream = ca.Stream(layer)
    assert_close(steps(stream, x, {}), y)
    assert_close(stream.state.squeeze(1), h)
    stream.reset()
    assert_close(stream.run(x), y)
    assert stream.run(x[:0]).shape == (0, 4)


def test_side_inputs_of_one_row() -> None:
    layer = layer_of(cells.entry("time_aware_lstm"))
    x, dt = torch.randn(T, 3, dtype=torch.float64), torch.rand(T, 1, dtype=torch.float64)
    with torch.no_grad():
        y, _ = layer(x, dt=dt)
    assert_close(steps(ca.Stream(layer), x, {"dt": dt}), y)


def test_masks_are_at_their_expectation() -> None:
    zoneout = ca.zoneout(cells.lstm, h=0.3, c=0.2)
    dropped = ca.variational_dropout(cells.gru, x=0.4)
    for cell in (zoneout, dropped):
        layer = ca.Recurrent(cell, 3, 4, 2, dropout=0.5).eval()
        x = torch.randn(T, B, 3)
        with torch.no_grad():
            y, _ = layer(x)
        stream = ca.Stream(layer, B)
        assert_close(steps(stream, x, {}), y)
        stream.reset()
        assert_close(stream.run(x), y)


# -- its state


@pytest.mark.parametrize("layer", [ca.LSTM(3, 4, 2), ca.GRU(3, 4), ca.Recurrent(cells.lem, 3, 4)], ids=repr)
def test_a_state_that_is_put_back(layer: Any) -> None:
    x, stream = torch.randn(T, B, 3), ca.Stream(layer, B)
    whole = steps(stream, x, {})
    stream.reset()
    steps(stream, x[:4], {})
    state = stream.state
    other = ca.Stream(layer, B)
    other.state = state
    assert torch.equal(steps(other, x[4:], {}), whole[4:])
    with torch.no_grad():
        assert_close(steps(stream, x[4:], {}), layer(x[4:], state)[0])


@pytest.mark.parametrize("learn", [False, True])
def test_resets_are_those_of_the_layer(learn: bool) -> None:
    layer = ca.Recurrent(cells.slstm, 3, 4, 2, learn_initial=learn)
    x, resets = torch.randn(T, 3, 3), torch.rand(T, 3) < 0.3
    with torch.no_grad():
        y, _ = layer(x, resets=resets)
    for numbers in (False, True):
        stream, got = ca.Stream(layer, 3), []
        for one, rows in zip(x, resets, strict=True):
            stream.reset(rows.nonzero().flatten().tolist() if numbers else rows)
            got.append(stream(one).clone())
        assert_close(torch.stack(got), y)
    assert stream.steps == T
    stream.reset()
    assert stream.steps == 0
    assert_close(stream(x[0]), layer(x[:1])[0][0].detach())


def test_the_step_index_goes_on_and_begins_anew() -> None:
    timed = [entry for entry in ENTRIES if entry.cell.time is not None]
    assert timed
    for entry in timed:
        layer, x = layer_of(entry), torch.randn(2 * T, B, 3, dtype=torch.float64)
        with torch.no_grad():
            y, _ = layer(x)
            first, _ = layer(x[T:])
        stream = ca.Stream(layer, B)
        stream.run(x[:T])
        assert_close(steps(stream, x[T:], {}), y[T:])
        stream.reset()
        assert_close(stream.run(x[T:]), first)


# -- parameters


def test_parameters_are_taken_when_told() -> None:
    layer, x = ca.LSTM(3, 4), torch.ones(1, 3)
    stream, other = ca.Stream(layer), ca.LSTM(3, 4)
    before = stream(x).clone()
    layer.load_state_dict(other.state_dict())
    stream.reset()
    assert torch.equal(stream(x), before)
    stream.reset()
    stream.refresh()
    assert torch.equal(stream(x), ca.Stream(other)(x))
    assert not torch.equal(stream(x), before)
    layer.double()
    with pytest.raises(ValueError, match="was torch.float32 and is torch.float64 now. Make a new Stream"):
        stream.refresh()


def test_the_layer_may_go() -> None:
    layer, x = ca.LSTM(3, 4), torch.ones(1, 3)
    stream = ca.Stream(layer)
    want = stream(x).clone()
    for parameter in layer.parameters():
        parameter.data = torch.full_like(parameter, torch.nan)
    stream.reset()
    assert torch.equal(stream(x), want)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_streams_are_copied_with_their_state(copied: Any) -> None:
    stream, x = ca.Stream(ca.GRU(3, 4, 2), B), torch.randn(T, B, 3)
    steps(stream, x, {})
    other = copied(stream)
    assert other.steps == T and other.layer is not stream.layer
    assert torch.equal(steps(other, x, {}), steps(stream, x, {}))


@pytest.mark.parametrize("made", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("used", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_gradient_modes_do_not_matter(made: Any, used: Any) -> None:
    layer = layer_of(cells.entry("time_aware_lstm"))
    with made():
        stream = ca.Stream(layer, B)
    with used():
        x, dt = torch.randn(T, B, 3, dtype=torch.float64), torch.rand(T, B, 1, dtype=torch.float64)
        y = steps(stream, x, {"dt": dt})
        stream.state = stream.state
        stream.reset()
        assert torch.equal(stream.run(x, dt=dt), y)
    assert not y.requires_grad


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 1e-2), ("int8", 3e-2)])
@pytest.mark.parametrize("width", [3, 70, 130])
def test_lower_precision(precision: str, error: float, width: int) -> None:
    layer, x = ca.LSTM(width, 70, 2), torch.randn(20, B, width)
    with torch.no_grad():
        y, _ = layer(x)
    made = []
    for _ in each_variant():
        stream = ca.Stream(layer, B, precision=precision)
        got = steps(stream, x, {})
        assert 0 < (got - y).norm() / y.norm() < error
        stream.reset()
        assert torch.equal(stream.run(x), got)
        made.append(got)
    if precision == "int8":
        for got in made:
            assert_close(got, made[0], atol=5e-3, rtol=0)  # a number may lie between two steps
    assert stream.state[0].dtype == torch.float32


def test_int8_counts_in_steps_of_each_row() -> None:
    cell = ca.cell(linear)
    layer = ca.Recurrent(cell, 5, 3)
    with torch.no_grad():
        layer.W_l0.copy_(torch.tensor([[1.0, -127, 3, 0, 64], [0.5, 0.25, -1, 0, 0], [0.0] * 5]) * 1e-3)
    for x in ([127.0, -1, 0, 5, 100], [0.0] * 5):
        for _ in each_variant():
            row = torch.tensor(x)
            exact = layer.W_l0.double() @ row.double()
            step = torch.tensor([1e-3, 1e-3 / 127, 0]).double() * row.abs().max() / 127
            got = ca.Stream(layer, precision="int8")(row)
            bound = (layer.W_l0.double().abs() @ torch.ones(5).double() * row.abs().max() / 254) + step * 127 * 5
            assert bool(((got - exact).abs() <= bound + 1e-9).all())
            assert got[2] == 0
    nan = ca.Stream(layer, precision="int8")(torch.tensor([1.0, torch.nan, 0, 0, 0]))
    assert bool(nan.isnan().all())


def linear(x: Any, h: Any, p: Any) -> Any:
    return p.W @ x + 0 * h


def test_precisions_that_there_are_not() -> None:
    layer = ca.LSTM(3, 4)
    refused(
        lambda: ca.Stream(layer, precision="float16"), ValueError, "precision is 'float16', expected one of: float32"
    )
    refused(lambda: ca.Stream(layer.double(), precision="int8"), ValueError, "expected one of: float64")


# -- nothing is allocated


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_allocates_nothing(threads: int) -> None:
    layer, x = ca.LSTM(64, 128, 2), torch.randn(1, 64)
    with always_sharing():
        stream = ca.Stream(layer, threads=threads)
    y = stream(x)
    tracemalloc.start()
    try:
        stream(x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            stream(x)
        assert tracemalloc.get_traced_memory()[0] - before < 200  # one int that counts the steps
    finally:
        tracemalloc.stop()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        assert stream(x) is y
    assert not [event for event in profiled.events() if event.name.startswith("aten::")]


# -- what does not fit


def refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_layers_that_cannot_be_streamed() -> None:
    step = ca.Recurrent(cells.lstm, 4, 4, 2, connections="residual")
    for layer, error, message in [
        (torch.nn.LSTM(3, 4), TypeError, "layer is a LSTM, expected a Recurrent, LSTM, GRU or RNN"),
        (ca.LSTM(3, 4, bidirectional=True), ValueError, r"Stream\(LSTM\): a stream reads the past only"),
        (ca.ConvLSTM(3, 4, 3), ValueError, "the layer reads images, a stream rows"),
        (step, ValueError, "knows no connections around layers; the layer's step"),
        (ca.LSTM(3, 4, 2, dropout=0.1), ValueError, r"drops units at random.*Call eval\(\)"),
        (ca.Recurrent(cells.lstm, 3, 4, weight_dropout={"U_*": 0.5}), ValueError, "drops units at random"),
        (ca.Recurrent(ca.zoneout(cells.lstm, h=0.3), 3, 4), ValueError, "drops units at random"),
        (ca.LSTM(3, 4).bfloat16(), ValueError, "a stream computes in float32 and float64"),
        (ca.LSTM(3, 4, device="meta"), ValueError, "the native engine runs on the CPU"),
        (ca.Recurrent(cells.mlstm, 4, 4), ValueError, "the native engine runs steps on rows"),
    ]:
        refused(lambda layer=layer: ca.Stream(layer), error, message)
    refused(lambda: ca.Stream(ca.LSTM(3, 4), 0), ValueError, "batch_size is 0, expected a positive whole number")
    refused(lambda: ca.Stream(ca.LSTM(3, 4), threads=0.5), ValueError, "threads is 0.5, expected a positive")
    attributes = ca.Recurrent(cells.entity_aware_lstm, 3, 4, static_size=2)
    refused(lambda: ca.Stream(attributes, 2), TypeError, r"the side input s is missing; pass s= with shape \(B, 2\)")
    refused(lambda: ca.Stream(attributes, 2, s=torch.ones(3, 2)), ValueError, "s has shape")
    refused(lambda: ca.Stream(ca.LSTM(3, 4), s=torch.ones(1, 2)), TypeError, "there is no side input 's'")


def test_input_that_does_not_fit() -> None:
    stream, x = ca.Stream(ca.LSTM(3, 4), 2), torch.randn(2, 3)
    for call, error, message in [
        (lambda: stream([1.0]), TypeError, "x is a list"),
        (lambda: stream(x[0]), ValueError, r"x has a batch of 1, expected 2 \(this stream's batch_size\)"),
        (lambda: stream(x[:1]), ValueError, "x has a batch of 1"),
        (lambda: stream(x[:, :2]), ValueError, "x has shape"),
        (
            lambda: stream(x[None]),
            ValueError,
            r"x has shape \(1, 2, 3\), expected \(B, D\).* B = 2, D = 3: one step",
        ),
        (lambda: stream(x.double()), ValueError, "x is float64, the parameters are float32"),
        (lambda: stream(x.to("meta")), ValueError, "x is on meta"),
        (lambda: stream(x.clone().requires_grad_()), ValueError, r"x requires a gradient.* x.detach\(\)"),
        (lambda: stream(x, dt=x), TypeError, "there is no side input 'dt'"),
        (lambda: stream.run(x), ValueError, "x has a batch of 1"),
        (lambda: stream.run(x[None], dt=x), TypeError, "there is no side input 'dt'"),
        (lambda: setattr(stream, "state", torch.ones(1)), TypeError, "hx is a tensor, expected a tuple of 2"),
        (lambda: setattr(stream, "state", (torch.ones(1, 2, 4), torch.ones(4))), ValueError, "hx's c has shape"),
        (lambda: stream.reset([2]), ValueError, r"rows is \[2\], expected whole numbers from 0 to 1"),
        (lambda: stream.reset([0.5]), ValueError, r"rows is \[0.5\], expected whole numbers"),
        (lambda: stream.reset(torch.tensor([True])), ValueError, r"rows has shape \(1,\), expected \(2,\)"),
    ]:
        refused(call, error, message)
    assert stream.steps == 0
    with torch.no_grad():
        stream(x.clone().requires_grad_())
    strided = torch.randn(3, 2).T
    stream.reset()
    assert torch.equal(stream(strided).clone(), ca.Stream(stream.layer, 2)(strided.contiguous()))


def test_side_inputs_that_do_not_fit() -> None:
    stream, x = ca.Stream(ca.Recurrent(cells.time_aware_lstm, 3, 4), 2), torch.randn(2, 3)
    refused(lambda: stream(x), TypeError, "the side input dt is missing")
    refused(lambda: stream(x, dt=1.0), TypeError, "dt is a float, expected a tensor")
    refused(lambda: stream(x, dt=torch.ones(3, 1)), ValueError, "dt has shape")


def test_the_core_refuses_what_does_not_fit() -> None:
    stream, x = ca.Stream(ca.LSTM(3, 4)), torch.zeros(1, 1, 3)
    packed = stream._snapshot.layers[0].packed
    refused(lambda: _core.session([], 1, 1, x.data_ptr(), 12, 1), ValueError, "there are no layers")
    refused(lambda: _core.session([(packed, [])], 1, 1, x.data_ptr(), 12, 1), ValueError, "was not given")
    refused(lambda: _core.session([(packed, [])], 1, 1, x.data_ptr(), 12, 0), ValueError, "threads is 0")
    nothing = [None] * 30
    refused(lambda: _core.session([(packed, nothing)], 1, 1, x.data_ptr(), 12, 1), ValueError, "must not be null")
    binding = stream._snapshot.layers[0].binding
    refused(lambda: binding.pack("float16", nothing), ValueError, 'dtype is "float16"')
    refused(lambda: _core.Binding().pack("float32", []), ValueError, "something else than one forward program")


def test_the_benchmark_compares_what_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    try:
        for mode, shapes in streaming.QUICK.items():
            rows = streaming.measure(mode, shapes[0], 1, pairs=1, seconds=0.01)
            assert {row["side"] for row in rows} >= set(streaming.MODES[mode][1])
            assert all(row["ratio"] > 0 for row in rows if row["side"] == streaming.OURS)
        monkeypatch.setitem(streaming.TOLERANCES, streaming.OURS, 0.0)
        with pytest.raises(timing.Disagreement, match="nothing is reported"):
            streaming.ways(streaming.QUICK["step"][0], 0)
    finally:
        timing.use_threads(len(timing.PROCESSORS))
        torch.set_num_threads(threads)
