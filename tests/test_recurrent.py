"""Recurrent: what holds for any cell, on every engine, in every layer and direction."""

import pytest
import torch

import carousel as ca
import zoo
from carousel import engines
from tolerances import assert_close

ENGINES = [name for name, reason in engines.status().items() if reason is None and name not in ("torch", "whole")]
T, B, D, H = 7, 4, 5, 8
SOME = [
    zoo.lstm,
    zoo.gru_reset_before,
    zoo.slstm,
    zoo.lstmp,
    zoo.lstm_1997,
    zoo.kinks,
    zoo.sru,
]
engine_wise = pytest.mark.parametrize("engine", ENGINES)
some_cells = pytest.mark.parametrize("cell", SOME, ids=lambda c: c.name)


def layer_of(cell, seed=0, dtype=torch.float64, **options):
    """A layer of the cell with the sizes that the zoo gives it."""
    torch.manual_seed(seed)
    sizes = zoo.sizes_of(cell)
    sizes = {"input_size": D, "hidden_size": H, **sizes}
    return ca.Recurrent(cell, **sizes, **options, dtype=dtype)


def inputs_of(cell, T=T, B=B, dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    return torch.randn(T, B, D, dtype=dtype, generator=g), zoo.sides_of(cell, zoo.sizes_of(cell), T, B, dtype, g)


def flat(result):
    """y, the states and what was seen, one after the other."""
    y, state, *seen = result
    return [y, *state, *(v for found in seen for v in found.values())]


def gradients(result, inputs):
    total = sum(
        (v * torch.randn(v.shape, dtype=v.dtype, generator=torch.Generator().manual_seed(k))).sum()
        for k, v in enumerate(flat(result))
    )
    found = torch.autograd.grad(total, inputs, allow_unused=True)
    return [torch.zeros_like(v) if d is None else d for v, d in zip(inputs, found, strict=True)]


# -- sequences, rows, ends and resets


@engine_wise
@some_cells
def test_two_chunks_are_the_whole(cell, engine):
    layer = layer_of(cell, num_layers=2, engine=engine)
    x, sides = inputs_of(cell)
    parts = [{n: s[ours] if s.dim() == 3 else s for n, s in sides.items()} for ours in (slice(3), slice(3, None))]
    y, state = layer(x, **sides)
    first, between = layer(x[:3], **parts[0])
    second, last = layer(x[3:], between, **parts[1])
    assert_close(torch.cat([first, second]), y)
    assert_close(last, state)


@engine_wise
@some_cells
def test_a_row_alone_is_the_row_in_the_batch(cell, engine):
    layer = layer_of(cell, num_layers=2, bidirectional=True, engine=engine)
    x, sides = inputs_of(cell)
    lengths = torch.tensor([7, 2, 5, 0])
    y, state, seen = layer(x, lengths=lengths, record=cell.states, **sides)
    for b, length in enumerate(lengths.tolist()):
        own = {n: s[:length, b] if s.dim() == 3 else s[b] for n, s in sides.items()}
        alone, end, inside = layer(x[:length, b], record=cell.states, **own)
        assert_close(alone, y[:length, b])
        assert y[length:, b].abs().sum() == 0
        assert_close(list(end), [s[:, b] for s in state])
        for name in cell.states:
            assert_close(inside[name], seen[name][:, :length, b])
            assert seen[name][:, length:, b].abs().sum() == 0


@engine_wise
@some_cells
def test_resets_are_pieces_run_alone(cell, engine):
    """With learned initial states, in both directions and layers; the first piece starts from hx, in its direction."""
    layer = layer_of(cell, num_layers=2, bidirectional=True, learn_initial=True, engine=engine)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("initial_") and "_m_" not in name:
                parameter += torch.rand_like(parameter)
    x, sides = inputs_of(cell)
    cut_at = ([0, 3], [], [1, 2, 6], [4])
    resets = torch.zeros(T, B, dtype=torch.bool)
    for b, cuts in enumerate(cut_at):
        resets[cuts, b] = True
    y, _ = layer(x, resets=resets, **sides)
    for b, cuts in enumerate(cut_at):
        edges = sorted({0, *cuts, T})
        pieces = []
        for start, stop in zip(edges, edges[1:], strict=False):
            own = {n: s[start:stop, b] if s.dim() == 3 else s[b] for n, s in sides.items()}
            pieces.append(layer(x[start:stop, b], **own)[0])
        assert_close(torch.cat(pieces), y[:, b])


@engine_wise
def test_a_reset_forgets_hx(engine):
    layer = layer_of(zoo.lstm, engine=engine)
    x, _ = inputs_of(zoo.lstm)
    hx = tuple(torch.randn(1, B, H, dtype=torch.float64) for _ in range(2))
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[0, :2] = True
    y, fresh = layer(x, hx, resets=resets)[0], layer(x)[0]
    assert_close(y[:, :2], fresh[:, :2])
    assert_close(y[:, 2:], layer(x, hx)[0][:, 2:])


@engine_wise
@some_cells
def test_nan_past_the_end_reaches_nothing(cell, engine):
    layer = layer_of(cell, num_layers=2, bidirectional=True, engine=engine)
    x, sides = inputs_of(cell)
    lengths = torch.tensor([2, 7, 0, 4])
    past = (torch.arange(T)[:, None] >= lengths)[..., None]
    found = []
    for filler in (torch.nan, 0.5):
        given = torch.where(past, filler, x).requires_grad_()
        own = {n: torch.where(past, filler, s) if s.dim() == 3 else s for n, s in sides.items()}
        result = layer(given, lengths=lengths, **own)
        found.append((flat(result), gradients(result, [given, *layer.parameters()])))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1])
    assert torch.where(past, found[0][1][0], 0).abs().sum() == 0


@pytest.mark.parametrize("lengths", [[7, 2, 5, 0], torch.tensor([7, 2, 5, 0], dtype=torch.int32), (7, 2, 5, 0)])
def test_lengths_in_any_form(lengths):
    layer = layer_of(zoo.lstm)
    x, _ = inputs_of(zoo.lstm)
    assert_close(layer(x, lengths=lengths)[0], layer(x, lengths=torch.tensor([7, 2, 5, 0]))[0])


@engine_wise
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
@some_cells
def test_no_steps_and_no_rows(cell, shape, engine):
    layer = layer_of(cell, num_layers=2, bidirectional=True, engine=engine)
    x, sides = inputs_of(cell, *shape)
    lengths, resets = torch.zeros(shape[1], dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
    y, state, seen = layer(x, lengths=lengths, resets=resets, record=cell.states, **sides)
    assert y.shape == (*shape, 2 * cell.output_width(**zoo.sizes_of(cell)))
    for name, value, width in zip(cell.states, state, cell.state_widths(**zoo.sizes_of(cell)), strict=True):
        assert_close(value, torch.full((4, shape[1], width), cell.initial[name], dtype=torch.float64))
        assert seen[name].shape == (4, *shape, width)


@engine_wise
def test_layouts(engine):
    """Batch first and unbatched give the same numbers, in sides, resets and recordings too."""
    cell = zoo.kinks
    x, sides = inputs_of(cell)
    resets = torch.rand(T, B) < 0.3
    y, state, seen = layer_of(cell, engine=engine)(x, resets=resets, record=("a",), **sides)
    first = layer_of(cell, batch_first=True, engine=engine)
    turned = {"e": sides["e"].transpose(0, 1), "s": sides["s"]}
    y2, state2, seen2 = first(x.transpose(0, 1), resets=resets.T, record=("a",), **turned)
    assert_close(y2.transpose(0, 1), y)
    assert_close(state2, state)
    assert_close(seen2["a"].transpose(1, 2), seen["a"])
    for layer in (layer_of(cell, engine=engine), first):
        y3, state3, seen3 = layer(x[:, 1], resets=resets[:, 1], record=("a",), e=sides["e"][:, 1], s=sides["s"][1])
        assert_close(y3, y[:, 1])
        assert_close(state3, tuple(s[:, 1] for s in state))
        assert_close(seen3["a"], seen["a"][:, :, 1])


@some_cells
def test_packed(cell):
    layer = layer_of(cell, bidirectional=True, batch_first=True)
    x, sides = inputs_of(cell)
    lengths = torch.tensor([2, 7, 3, 7])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    turned = {n: s.transpose(0, 1) if s.dim() == 3 else s for n, s in sides.items()}
    y, state = layer(packed, **turned)
    expected, expected_state = layer(x.transpose(0, 1), lengths=lengths, **turned)
    assert_close(torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], expected)
    assert_close(state, expected_state)


# -- one step, segments


@engine_wise
@some_cells
def test_step_by_step(cell, engine):
    layer = layer_of(cell, num_layers=2, engine=engine)
    x, sides = inputs_of(cell)
    y, final = layer(x, **sides)
    state, alone = None, None
    for t in range(T):
        now = {n: s[t] if s.dim() == 3 else s for n, s in sides.items()}
        step, state = layer.step(x[t], state, **now)
        assert_close(step, y[t])
        step, alone = layer.step(x[t, 0], alone, **{n: s[0] for n, s in now.items()})
        assert_close(step, y[t, 0])
    assert_close(state, final)


@engine_wise
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
@some_cells
def test_checkpointing_changes_nothing(cell, ragged, engine):
    """Values and gradients with segments of three steps, with lengths and resets that fall on their edges."""
    x, sides = inputs_of(cell)
    options, record = {}, cell.states
    if ragged:
        resets = torch.rand(T, B) < 0.3
        resets[3, :2] = resets[6] = True
        options = {"lengths": torch.tensor([7, 3, 0, 6]), "resets": resets}
    found = []
    for every in (None, 3):
        layer = layer_of(
            cell, num_layers=2, bidirectional=True, learn_initial=True, engine=engine, checkpoint_every=every
        )
        leaves = [
            x.clone().requires_grad_(),
            *(s.clone().requires_grad_() for s in sides.values()),
            *layer.parameters(),
        ]
        own = dict(zip(sides, leaves[1:], strict=False))
        result = layer(leaves[0], record=record, **options, **own)
        found.append((flat(result), gradients(result, leaves)))
    assert_close(found[1][0], found[0][0])
    assert_close(found[1][1], found[0][1])


def test_checkpointing_draws_masks_once():
    found = []
    for every in (None, 2):
        layer = layer_of(zoo.zoneout_lstm, checkpoint_every=every)
        x, _ = inputs_of(zoo.zoneout_lstm)
        torch.manual_seed(7)
        result = layer(x)
        found.append((flat(result), gradients(result, list(layer.parameters()))))
    assert_close(found[1][0], found[0][0])
    assert_close(found[1][1], found[0][1])


@engine_wise
def test_checkpointing_bounds_memory(engine):
    """What stays after the forward pass is the output, and the states at every k-th step."""
    T, k = 100, 20
    layer = ca.Recurrent(zoo.lstm, D, 64, checkpoint_every=k, engine=engine)
    x = torch.randn(T, B, D)
    layer(x)[0].sum().backward()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        y, _ = layer(x)
    kept = sum(event.self_cpu_memory_usage for event in profile.events())
    whole = y.numel() * y.element_size()
    assert whole <= kept < whole + 4 * whole / k + 20_000


# -- gradients


@engine_wise
@some_cells
def test_recorded_quantities_have_gradients(cell, engine):
    """The gradient of a recorded state is that of the output, where they are the same thing."""
    layer = layer_of(cell, engine=engine)
    x, sides = inputs_of(cell)
    names = [name for name in cell.step.names if name in cell.states]
    y, state, seen = layer(x.requires_grad_(), record=names, **sides)
    weights = torch.randn_like(state[0][0])
    last = seen[cell.states[0]][0, -1]
    (expected,) = torch.autograd.grad((state[0][0] * weights).sum(), x, retain_graph=True)
    (found,) = torch.autograd.grad((last * weights).sum(), x)
    assert_close(found, expected)


@engine_wise
def test_learned_initial_states(engine):
    layer = layer_of(zoo.lstm, num_layers=2, bidirectional=True, learn_initial=True, engine=engine)
    names = [n for n, _ in layer.named_parameters() if n.startswith("initial_")]
    assert names[:4] == ["initial_h_l0", "initial_c_l0", "initial_h_l0_reverse", "initial_c_l0_reverse"]
    x, _ = inputs_of(zoo.lstm)
    layer(x)[0].square().sum().backward()
    assert all(getattr(layer, name).grad.abs().sum() > 0 for name in names)
    layer.zero_grad()
    hx = tuple(torch.zeros(4, B, H, dtype=torch.float64) for _ in range(2))
    layer(x, hx)[0].square().sum().backward()  # hx takes their place
    assert all(getattr(layer, n).grad is None or getattr(layer, n).grad.abs().sum() == 0 for n in names)


# -- parameters


def test_names_and_shapes():
    layer = layer_of(zoo.projected_lstm, num_layers=2, bidirectional=True)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert len(shapes) == 4 * 13
    assert shapes["W_f_l0"] == (H, D) and shapes["W_f_l0_reverse"] == (H, D)
    assert shapes["W_f_l1"] == (H, 2 * 4) and shapes["W_hr_l1_reverse"] == (4, H)
    assert set(layer.state_dict()) == set(shapes)


def test_starts():
    def eye_(matrix):
        return torch.eye(*matrix.shape)

    @ca.cell(init={"b_f": 1.0, "U_*": torch.nn.init.orthogonal_, "U_o": eye_, "b_i": [-1, -3, -5]}, fixed={"b_o": 0.5})
    def gated(x, h, c, p):
        f = ca.sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        i = ca.sigmoid(p.W_i @ x + p.b_i)
        o = ca.sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + i * (p.R.blocks(2) @ h)
        return o * ca.tanh(c), c

    torch.manual_seed(0)
    layer = ca.Recurrent(gated, 3, 6, num_layers=2)
    for end in ("_l0", "_l1"):
        of = {name: getattr(layer, name + end) for name in gated.shapes(input_size=3, hidden_size=6)}
        assert of["b_f"].tolist() == [1.0] * 6
        assert of["b_i"].tolist() == [-1, -1, -3, -3, -5, -5]
        assert_close(of["U_f"] @ of["U_f"].T, torch.eye(6))
        assert torch.equal(of["U_o"], torch.eye(6))
        assert 0.2 < of["W_f"].abs().max() <= 6**-0.5 and of["W_f"].abs().min() < 0.1
        assert of["R"].shape == (2, 3, 3)
    assert "b_o_l0" not in dict(layer.named_parameters())
    assert layer.b_o_l1.tolist() == [0.5] * 6


def test_of_a_block_diagonal_matrix_each_block_starts_by_itself():
    @ca.cell(init={"R": torch.nn.init.orthogonal_})
    def blocks(x, h, p):
        return ca.tanh(p.W @ x + p.R.blocks(3) @ h)

    R = ca.Recurrent(blocks, 2, 6).R_l0
    assert_close(R @ R.mT, torch.eye(2).expand(3, 2, 2))


def test_starts_of_a_cell_inside_a_cell():
    """What the inner cell declares holds, unless the outer one says otherwise."""

    @ca.cell(init={"b_f": 1.0, "b_*": 0.0, "U": 3.0})
    def inner(x, h, p):
        return ca.sigmoid(p.W @ x + p.b_f) * h + ca.tanh(p.U @ h + p.b_g)

    @ca.cell(init={"b_g*": 2.0})
    def outer(x, h, p):
        return 0.5 * h + 0.5 * inner(x, h, p)

    found = {name: value.unique().tolist() for name, value in ca.Recurrent(outer, 2, 2).named_parameters()}
    assert found["b_f_l0"] == [1.0] and found["b_g_l0"] == [2.0] and found["U_l0"] == [3.0]


def test_starts_anew():
    layer = layer_of(zoo.lstm)
    before = {n: p.clone() for n, p in layer.named_parameters()}
    layer.reset_parameters()
    constant = [n for n, p in layer.named_parameters() if torch.equal(p, before[n])]
    assert all(n.startswith("b_f_") for n in constant)  # what the cell itself gives a value


def test_initial_states_of_the_cell():
    layer = layer_of(zoo.observer, dtype=torch.float32)
    _, (h, c) = layer(torch.zeros(0, 2, D))
    assert h.unique().tolist() == [0.25] and c.unique().tolist() == [0.0]


@engine_wise
def test_a_cell_without_parameters(engine):
    @ca.cell(widths={"h": "input_size"})
    def average(x, h, p):
        return 0.5 * h + 0.5 * x

    layer = ca.Recurrent(average, 3, 3, engine=engine)
    y, _ = layer(torch.ones(4, 2, 3))
    assert y[:, 0, 0].tolist() == [0.5, 0.75, 0.875, 0.9375]
    assert list(layer.parameters()) == []


# -- masks


def test_masks_are_expectations_in_evaluation():
    layer = layer_of(zoo.zoneout_lstm).eval()
    x, _ = inputs_of(zoo.zoneout_lstm)
    keep = torch.full((T, B, H), 0.9, dtype=torch.float64)
    assert_close(layer(x)[0], layer(x, z_h=keep, z_c=keep)[0])
    scaled = layer_of(zoo.dropout_lstm).eval()
    one = torch.ones(B, 1, dtype=torch.float64)
    assert_close(scaled(x)[0], scaled(x, m_x=one.expand(B, D), m_h=one.expand(B, H))[0])


@engine_wise
@pytest.mark.parametrize("cell", [zoo.zoneout_lstm, zoo.dropout_lstm], ids=lambda c: c.name)
def test_masks_are_the_same_for_every_engine(cell, engine):
    x, _ = inputs_of(cell)
    found = []
    for name in ("eager", engine):
        layer = layer_of(cell, num_layers=2, engine=name)
        torch.manual_seed(11)
        found.append(layer(x))
    assert_close(found[1][0], found[0][0])
    assert_close(found[1][1], found[0][1])
    assert (layer(x)[0] - layer(x)[0]).abs().max() > 1e-3


def test_the_probability_to_keep_can_be_changed():
    x, _ = inputs_of(zoo.dropout_lstm)
    layer = layer_of(zoo.dropout_lstm, masks={"m_x": 1.0, "m_h": 1.0})
    assert_close(layer(x)[0], layer.eval()(x)[0])


def test_layers_on_layers_where_the_output_is_not_as_wide_as_the_state():
    x = torch.randn(4, 2, 3)
    for cell, width, sizes in [
        (ca.cells.intersection_rnn, 3, {}),
        (ca.cells.scrn, 7, {"context_size": 2}),
        (ca.cells.clockwork_rnn, 20, {}),
        (ca.cells.fast_grnn_low_rank, 5, {"input_rank": 2, "hidden_rank": 2}),
    ]:
        y, _ = ca.Recurrent(cell, 3, 5, num_layers=2, **sizes)(x)
        assert y.shape == (4, 2, width), cell.name


# -- reading


def test_it_says_what_it_is():
    layer = ca.Recurrent(zoo.projected_lstm, 5, 8, 2, bidirectional=True, proj_size=4, engine="eager")
    assert (
        repr(layer) == "Recurrent(projected_lstm, 5, 8, proj_size=4, num_layers=2, bidirectional=True, engine='eager')"
    )
