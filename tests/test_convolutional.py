"""ConvRecurrent: any cell on images, against its own function, Keras, and what it reduces to."""

from __future__ import annotations

import pytest
import torch

import carousel as ca
import images
from carousel import engines
from carousel.graph.products import stages
from carousel.layers.convolutional import ConvLSTM, ConvRecurrent
from carousel.space import stepwise
from oracles.keras_conv_lstm import keras_conv_lstm
from oracles.onnx_operators import ORACLES as ONNX
from tolerances import assert_close

ENGINES = [name for name in ("eager", "native") if engines.status()[name] is None]
engine_wise = pytest.mark.parametrize("engine", ENGINES)
SPACES = {1: (6,), 2: (4, 5), 3: (3, 2, 4)}
T, B, C, H = 4, 3, 2, 4


def weighed(values):
    """A loss in which every number has a weight of its own."""
    found = [v for v in values if v.requires_grad]
    return sum((v * torch.sin(torch.arange(v.numel(), dtype=v.dtype).view(v.shape))).sum() for v in found)


def gradients(values, inputs):
    taken = torch.autograd.grad(weighed(values), inputs, allow_unused=True)
    return [torch.zeros_like(v) if d is None else d for v, d in zip(inputs, taken, strict=True)]


def layer_of(cell, engine="auto", dims=2, **options):
    more = {name: 2 for name in cell.sizes if name not in ("input_size", "hidden_size")}
    kernels = {"kernel_size": (3, 2, 5)[:dims], "recurrent_kernel_size": 3}
    return ConvRecurrent(cell, C, H, **kernels, **more, engine=engine, dtype=torch.float64, **options)


def sides_of(layer, space):
    """Side inputs, those per step as images and those per sequence without positions."""
    made = {}
    for name, side in layer.cell.sides.items():
        w = layer.cell.side_width(name, **layer.sizes)
        made[name] = torch.rand(*((T, B, w, *space) if side.kind == "step" else (B, w)), dtype=torch.float64)
    return made


def agree(layer, x, hx=None, **options):
    """Outputs, states and gradients as the cell's own function gives them."""
    inputs = [x, *(hx or ()), *layer.parameters()]
    y, state = layer(x, hx, **options)
    y_want, state_want = images.run(layer, x, hx, **options)
    assert_close((y, *state), (y_want, *state_want))
    assert_close(gradients((y, *state), inputs), gradients((y_want, *state_want), inputs))


CELLS = ["conv_lstm", "gru", "gru_reset_before", "layer_norm_lstm", "slstm", "time_aware_lstm", "entity_aware_lstm"]
CELLS += ["minimal_rnn", "mut1", "lstm_fgr", "recurrent_highway"]


@engine_wise
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_on_images_is_its_own_function(name, engine):
    layer = layer_of(ca.cells.get(name), engine)
    x = torch.randn(T, B, C, *SPACES[2], dtype=torch.float64, requires_grad=True)
    agree(layer, x, **sides_of(layer, SPACES[2]))


@engine_wise
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_layers_directions_lengths_and_resets(dims, engine):
    layer = layer_of(ca.cells.conv_lstm, engine, dims, num_layers=2, bidirectional=True, learn_initial=True)
    x = torch.randn(T, B, C, *SPACES[dims], dtype=torch.float64)
    lengths, resets = torch.tensor([4, 0, 2]), torch.rand(T, B) < 0.4
    x[torch.arange(T)[:, None] >= lengths] = torch.nan
    hx = tuple(torch.randn(4, B, H, *SPACES[dims], dtype=torch.float64, requires_grad=True) for _ in range(2))
    agree(layer, x.requires_grad_(), hx, lengths=lengths, resets=resets)


@engine_wise
def test_peepholes_for_each_position(engine):
    layer = ConvLSTM(C, H, 3, peepholes="position", space=(4, 5), engine=engine, dtype=torch.float64)
    assert layer.V_i_l0.shape == (H, 4, 5) and layer.b_i_l0.shape == (H,)
    agree(layer, torch.randn(T, B, C, 4, 5, dtype=torch.float64, requires_grad=True))
    with pytest.raises(ValueError, match=r"expected images of the size \(4, 5\)"):
        layer(torch.randn(T, B, C, 5, 4, dtype=torch.float64))


@engine_wise
def test_a_layer_without_input_runs_on_its_states(engine):
    layer = ConvLSTM(0, H, 5, engine=engine, dtype=torch.float64)
    assert layer.W_i_l0.shape == (H, 0, 5, 5)
    hx = tuple(torch.randn(1, B, H, 4, 5, dtype=torch.float64) for _ in range(2))
    with_input = ConvLSTM(1, H, 5, engine=engine, dtype=torch.float64)
    with_input.load_state_dict(
        {**with_input.state_dict(), **{n: p for n, p in layer.state_dict().items() if p.numel()}}
    )
    got, want = layer(torch.zeros(T, B, 0, 4, 5).double(), hx), with_input(torch.zeros(T, B, 1, 4, 5).double(), hx)
    assert_close(got[0], want[0])
    assert_close(got[1], want[1])


# -- somebody else's numbers


@engine_wise
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 2])
def test_keras_says_the_same(dims, kernel, engine):
    space = SPACES[dims]
    layer = ConvLSTM(C, H, (kernel,) * dims, peepholes=None, engine=engine, dtype=torch.float64)
    x = torch.randn(T, B, C, *space, dtype=torch.float64, requires_grad=True)
    hx = tuple(torch.randn(1, B, H, *space, dtype=torch.float64, requires_grad=True) for _ in range(2))
    inputs = [x, *hx, *layer.parameters()]
    y, state = layer(x, hx)
    params = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    y_want, state_want = keras_conv_lstm(params, x, [h[0] for h in hx])
    found, want = (y, *(s[0] for s in state)), (y_want, *state_want)
    assert_close(found, want)
    assert_close(gradients(found, inputs), gradients(want, inputs))


@engine_wise
def test_one_position_is_the_peephole_lstm(engine):
    layer = ConvLSTM(3, 5, 1, engine=engine, dtype=torch.float64)
    x, hx = torch.randn(T, B, 3).double(), [torch.randn(B, 5).double() for _ in range(2)]
    params = {name.removesuffix("_l0"): p.flatten(1) if p.dim() > 1 else p for name, p in layer.named_parameters()}
    y, state = layer(x[..., None, None], tuple(h[None, :, :, None, None] for h in hx))
    y_want, state_want = ONNX["conv_lstm"](params, x, hx)
    assert_close(y[..., 0, 0], y_want)
    assert_close([s[0, ..., 0, 0] for s in state], list(state_want))


@engine_wise
def test_a_transposed_kernel_is_the_adjoint(engine):
    """In the antisymmetric network U - U' is antisymmetric as an operator on images, so it adds no energy."""

    @ca.cell
    def rotation(x, h, p):
        return p.W @ x + (p.U - p.U.T) @ h

    layer = ConvRecurrent(rotation, 1, 4, 3, engine=engine, dtype=torch.float64)
    h = torch.randn(1, 1, 4, 5, 6, dtype=torch.float64)
    y, _ = layer(torch.zeros(1, 1, 1, 5, 6, dtype=torch.float64), (h,))
    assert y.abs().max() > 0.1
    assert_close((y[0] * h[0]).sum(), torch.zeros((), dtype=torch.float64))


# -- what every layer has


@engine_wise
def test_forms_of_input(engine):
    layer = layer_of(ca.cells.gru, engine, batch_first=True)
    x = torch.randn(B, T, C, 4, 5, dtype=torch.float64)
    y, (h,), seen = layer(x, record=("z",))
    assert y.shape == (B, T, H, 4, 5) and h.shape == (1, B, H, 4, 5) and seen["z"].shape == (1, B, T, H, 4, 5)
    alone, (end,), inside = layer(x[1], record=("z",))
    assert_close((alone, end, inside["z"]), (y[1], h[:, 1], seen["z"][:, 1]))
    state = None
    for t in range(T):
        now, state = layer.step(x[:, t], state)
        assert_close(now, y[:, t])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [4, 2, 1], batch_first=True)
    ragged, _ = layer(packed)
    assert_close(torch.nn.utils.rnn.pad_packed_sequence(ragged, batch_first=True)[0][1, :2], y[1, :2])
    assert layer(x[:, :0])[0].shape == (B, 0, H, 4, 5)


@engine_wise
@pytest.mark.parametrize("steps", [1, 2])
def test_inputs_in_pieces_change_nothing(steps, engine, monkeypatch):
    """Products with inputs are computed for as many steps as fit into so many bytes."""
    monkeypatch.setattr(stepwise, "REUSED", steps * B * 20 * 4 * H * 8)
    layer = layer_of(ca.cells.conv_lstm, engine, bidirectional=True)
    agree(layer, torch.randn(T + 1, B, C, 4, 5, dtype=torch.float64, requires_grad=True))


@engine_wise
def test_checkpoints_change_nothing(engine):
    layer = layer_of(ca.cells.conv_lstm, engine, bidirectional=True)
    x = torch.randn(T, B, C, 4, 5, dtype=torch.float64, requires_grad=True)
    lengths, resets = torch.tensor([4, 0, 3]), torch.rand(T, B) < 0.4
    whole = layer(x, lengths=lengths, resets=resets)
    want = gradients((whole[0], *whole[1]), [x, *layer.parameters()])
    layer.checkpoint_every = 3
    pieces = layer(x, lengths=lengths, resets=resets)
    assert_close(pieces[0], whole[0])
    assert_close(gradients((pieces[0], *pieces[1]), [x, *layer.parameters()]), want)


def test_second_derivatives_go_through_the_eager_engine():
    layer = ConvLSTM(1, 2, 3, engine="eager", dtype=torch.float64)
    x = torch.randn(2, 1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)


def test_stages_of_a_step():
    def stage_sums(cell):
        return [[sorted(p.level for p in total.products) for total in stage.sums] for stage in stages(cell)]

    assert stage_sums(ca.cells.lstm) == [[], [[2, 3]] * 4]
    assert stage_sums(ca.cells.gru) == [[[2]], [[2, 3], [2, 3], [3]]]
    assert len(stages(ca.cells.gru_reset_before)) == 3
    for stage in stages(ca.cells.gru_reset_before):
        assert not any(node.op == "matmul" for node in stage.cell.step.nodes)


def test_starts():
    layer = ConvLSTM(
        2, 16, 3, peepholes="position", space=(4, 4), init={"U_*": torch.nn.init.orthogonal_, "V_f": [1, 2]}
    )
    U = layer.U_i_l0.flatten(1)
    assert_close(U @ U.T, torch.eye(16))
    assert (layer.V_f_l0[:8] == 1).all() and (layer.V_f_l0[8:] == 2).all()
    assert layer.W_i_l0.abs().max() <= 1 / 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvRecurrent(ca.cells.gru, 1, 2, (3, 3), dims=3), "kernel_size is .* expected .* 3 of them"),
        (lambda: ConvRecurrent(ca.cells.gru, 1, 2, 0), "kernel_size is 0"),
        (lambda: ConvRecurrent(ca.cells.gru, 1, 2, 3, dims=4), "dims is 4"),
        (
            lambda: ConvRecurrent(ca.cells.gru, 1, 2, 3, per_position=("V_*",), space=(2, 2)),
            "the cell's vectors are: b_r",
        ),
        (lambda: ConvRecurrent(ca.cells.gru, 1, 2, 3, per_position=("b_*",)), "expected the size of the images"),
        (lambda: ConvRecurrent(ca.cells.lmu, 2, 4, 3, memory_size=4), "A starts as a matrix of a kind that a kernel"),
        (lambda: ConvLSTM(1, 2, 3, peepholes="both"), 'expected "channel", "position" or None'),
        (lambda: ConvLSTM(1, 2, 3, space=(4, 4)), "leave it out"),
        (lambda: ConvLSTM(1, 2, 3)(torch.zeros(2, 1, 3, 4, 4)), r"expected \(T, B, C, Y, X\) with C = 1"),
        (lambda: ConvLSTM(1, 2, 3)(torch.zeros(2, 1, 1, 4, 0)), "without a single position"),
        (
            lambda: ConvLSTM(1, 2, 3)(torch.zeros(2, 1, 1, 4, 4), (torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))),
            r"hx's h has shape \(1, 1, 2\), expected \(L, B, 2, 4, 4\)",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_kernel_for_input_and_state_has_one_size():
    @ca.cell(widths={"x": "hidden_size"})
    def tied(x, h, p):
        return ca.tanh(p.W @ x + p.W @ h)

    assert ConvRecurrent(tied, 2, 2, 3)(torch.zeros(1, 1, 2, 4, 4))[0].shape == (1, 1, 2, 4, 4)
    with pytest.raises(ValueError, match="W multiplies the input and a state"):
        ConvRecurrent(tied, 2, 2, 3, recurrent_kernel_size=5)


# -- the network of the paper; its six printed numbers of parameters are in published_networks.py


@engine_wise
def test_the_forecaster_goes_on_from_what_the_encoder_saw(engine):
    net = ca.EncoderForecaster(2, [4, 3], 3, recurrent_kernel_size=1, engine=engine, dtype=torch.float64)
    assert [layer.hidden_channels for layer in net.forecaster] == [3, 4]
    x = torch.randn(4, 2, 2, 5, 6, dtype=torch.float64)
    x[2:, 1] = torch.nan
    frames = net(x, 3, lengths=[4, 2])
    assert frames.shape == (3, 2, 2, 5, 6)
    assert_close(frames[:, 1:], net(x[:2, 1:], 3))
    assert_close(frames[:2], net(x, 2, lengths=[4, 2]))
    frames.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.numel() == 0 or parameter.grad.any(), name


def test_one_layer_may_make_the_frame():
    net = ca.EncoderForecaster(6, [4, 5], 1, read="last", cell=ca.cells.gru)
    assert net.output.in_channels == 4 and net(torch.randn(3, 2, 6, 1, 1), 2).shape == (2, 2, 6, 1, 1)
    with pytest.raises(ValueError, match='expected "all" or "last"'):
        ca.EncoderForecaster(6, [4], 1, read="first")
    with pytest.raises(ValueError, match="hidden_channels is empty"):
        ca.EncoderForecaster(6, [], 1)
