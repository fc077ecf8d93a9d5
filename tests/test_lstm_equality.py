"""carousel.LSTM, GRU and RNN are torch.nn's, over all options: outputs, final states and every gradient."""

from itertools import product

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import carousel as ca
from carousel import engines
from tolerances import assert_close

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # PyTorch's, said once

T, B, D, H = 5, 3, 4, 6
AVAILABLE = [name for name, reason in engines.status().items() if reason is None and name != "whole"]
SWITCHES = ("num_layers", "bias", "batch_first", "bidirectional", "proj_size")
VALUES = product((1, 2), (True, False), (True, False), (True, False), (0, 2))
OPTIONS = [dict(zip(SWITCHES, values, strict=True)) for values in VALUES]
PAIRS = {
    "LSTM": (torch.nn.LSTM, ca.LSTM, {}),
    "GRU": (torch.nn.GRU, ca.GRU, {}),
    "RNN": (torch.nn.RNN, ca.RNN, {}),
    "RNN relu": (torch.nn.RNN, ca.RNN, {"nonlinearity": "relu"}),
}


OTHERS = [{k: v for k, v in options.items() if k != "proj_size"} for options in OPTIONS if not options["proj_size"]]
CASES = [(kind, options) for kind in PAIRS for options in (OPTIONS if kind == "LSTM" else OTHERS)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small only make PyTorch's threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spelled(options):
    return "-".join(f"{name}={value}" for name, value in options.items())


def pair(kind, options, dtype=torch.float64, **ours_only):
    """PyTorch's layer and ours, made after the same seed."""
    theirs, ours, more = PAIRS[kind]
    made = []
    for make, extra in ((theirs, {}), (ours, ours_only)):
        torch.manual_seed(1)
        made.append(make(D, H, **options, **more, **extra, dtype=dtype))
    return made


def states(layer, batch, dtype):
    """Random initial states in the form that the layer takes."""
    L = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or H, H] if layer.mode == "LSTM" else [H]
    found = [torch.randn(L, *batch, w, dtype=dtype) for w in sizes]
    return tuple(found) if layer.mode == "LSTM" else found[0]


def flat(value):
    """All tensors in a result."""
    if isinstance(value, PackedSequence):
        return [value.data]
    return [value] if isinstance(value, torch.Tensor) else [t for part in value for t in flat(part)]


def results(layer, x, hx):
    """Outputs, and the gradients of a fixed weighting of them with respect to input, states and parameters."""
    inputs = [*flat(x), *([] if hx is None else flat(hx)), *layer.parameters()]
    torch.manual_seed(2)
    outputs = flat(layer(x, hx) if hx is not None else layer(x))
    total = sum((v * torch.randn_like(v)).sum() for v in outputs)
    return outputs, list(torch.autograd.grad(total, inputs))


def same(theirs, ours, x, hx):
    for leaf in [*flat(x), *([] if hx is None else flat(hx))]:
        leaf.requires_grad_()
    expected, found = results(theirs, x, hx), results(ours, x, hx)
    assert_close(found[0], expected[0])
    assert_close(found[1], expected[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{kind}-{spelled(options)}" for kind, options in CASES])
def test_same_numbers(kind, options, dtype):
    """Batched, unbatched, packed in two orders; with and without initial states; on every engine."""
    for engine in AVAILABLE:
        if engine == "torch" and kind.startswith("RNN"):
            continue
        theirs, ours = pair(kind, options, dtype, engine=engine)
        first = (B, T) if options["batch_first"] else (T, B)
        for batch, shape in (((B,), first), ((), (T,))):
            for hx in (None, states(theirs, batch, dtype)):
                same(theirs, ours, torch.randn(*shape, D, dtype=dtype), hx)
        for lengths, is_sorted in (([5, 3, 1], True), ([2, 5, 4], False)):
            padded = torch.randn(*first, D, dtype=dtype)
            x = pack_padded_sequence(padded, lengths, options["batch_first"], enforce_sorted=is_sorted)
            for hx in (None, states(theirs, (B,), dtype)):
                same(theirs, ours, x, hx)


def test_packed_in_packed_out():
    theirs, ours = pair("LSTM", {"num_layers": 2, "bidirectional": True})
    x = pack_padded_sequence(torch.randn(T, B, D, dtype=torch.float64), [3, 5, 3], enforce_sorted=False)
    for expected, found in zip(theirs(x)[0], ours(x)[0], strict=True):
        assert_close(found, expected) if expected.is_floating_point() else torch.testing.assert_close(found, expected)
    padded, lengths = pad_packed_sequence(ours(x)[0])
    assert padded.shape == (T, B, 2 * H) and lengths.tolist() == [3, 5, 3]


@pytest.mark.parametrize("kind", PAIRS)
def test_same_dropout(kind):
    """With one seed the same units drop between the layers."""
    theirs, ours = pair(kind, {"num_layers": 3, "dropout": 0.5, "bidirectional": True})
    x = torch.randn(T, B, D, dtype=torch.float64)
    found = []
    for layer in (theirs, ours):
        torch.manual_seed(3)
        found.append(layer(x)[0])
    assert_close(found[1], found[0])
    assert not torch.equal(ours(x)[0], ours(x)[0])
    theirs.eval(), ours.eval()
    assert_close(ours(x)[0], theirs(x)[0])


@pytest.mark.parametrize("options", OPTIONS, ids=spelled)
def test_same_parameters(options):
    """Names, values after one seed, and everything that code may ask PyTorch's layer for."""
    theirs, ours = pair("LSTM", options)
    assert isinstance(ours, torch.nn.LSTM)
    expected, found = dict(theirs.named_parameters()), dict(ours.named_parameters())
    assert list(expected) == list(found)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert_close(flat(ours.all_weights), flat(theirs.all_weights))
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    ours.flatten_parameters()
    assert repr(ours) == repr(theirs)
    torch.manual_seed(5)
    theirs.reset_parameters()
    torch.manual_seed(5)
    ours.reset_parameters()
    assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_positional_arguments_mean_the_same():
    theirs, ours = torch.nn.LSTM(4, 6, 2, False, True, 0.25, True, 3), ca.LSTM(4, 6, 2, False, True, 0.25, True, 3)
    assert repr(theirs) == repr(ours)
    theirs, ours = torch.nn.RNN(4, 6, 2, "relu"), ca.RNN(4, 6, 2, "relu")
    assert ours.mode == theirs.mode == "RNN_RELU"


def test_keywords_of_the_call_mean_the_same():
    theirs, ours = pair("LSTM", {})
    x, hx = torch.randn(T, B, D, dtype=torch.float64), states(theirs, (B,), torch.float64)
    assert_close(ours(input=x, hx=hx)[0], theirs(input=x, hx=hx)[0])


@pytest.mark.parametrize("kind", PAIRS)
def test_lengths_are_packing(kind):
    """Lengths on a padded batch, NaN in the padding, give what PyTorch gives for packed rows."""
    theirs, ours = pair(kind, {"num_layers": 2, "bidirectional": True})
    lengths = torch.tensor([3, 5, 1])
    x = torch.randn(T, B, D, dtype=torch.float64)
    expected, state = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))
    spoilt = torch.where((torch.arange(T)[:, None] < lengths)[..., None], x, torch.nan)
    y, ours_state = ours(spoilt, lengths=lengths)
    assert_close(y, pad_packed_sequence(expected)[0])
    assert_close(flat(ours_state), flat(state))


@pytest.mark.parametrize("kind", PAIRS)
def test_step_by_step(kind):
    theirs, ours = pair(kind, {"num_layers": 2, "batch_first": True})
    x = torch.randn(B, T, D, dtype=torch.float64)
    expected, final = theirs(x)
    state = None
    for t in range(T):
        y, state = ours.step(x[:, t], state)
        assert_close(y, expected[:, t])
    assert_close(flat(state), flat(final))


def test_recording_the_gates():
    ours = pair("LSTM", {"bidirectional": True, "num_layers": 2})[1]
    y, (h, c), seen = ours(torch.randn(T, B, D, dtype=torch.float64), record=("i", "f", "g", "o", "c", "h"))
    assert seen["f"].shape == (4, T, B, H)
    assert_close(torch.cat([seen["h"][2], seen["h"][3]], -1), y)
    assert_close(seen["h"], seen["o"] * seen["c"].tanh())
    assert_close(seen["c"][0, -1], c[0])
    assert_close(seen["c"][1, 0], c[1])


@pytest.mark.parametrize("every", [1, 2, 5, 9])
def test_checkpointing_changes_nothing(every):
    options = {"num_layers": 2, "bidirectional": True}
    plain, cut = pair("LSTM", options)[1], pair("LSTM", options, checkpoint_every=every)[1]
    same(plain, cut, torch.randn(T, B, D, dtype=torch.float64), states(plain, (B,), torch.float64))
