"""The transducer: loss, gradient, alignment and search equal to enumeration of all ways, compiled and plain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import carousel as ca
from carousel.labelling import Hypothesis
from runs import ENGINES
from tolerances import assert_close


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with ca.use_engine(request.param):
        yield request.param


def ways(log_probs: Tensor, target: list[int], blank: int) -> list[tuple[list[int], Tensor]]:
    """Every way to write the target: the frame of each label, and the log-probability. log_probs (T, U + 1, K)."""
    T, U = len(log_probs), len(target)
    found = []
    for times in itertools.combinations_with_replacement(range(T), U):
        total, u = log_probs.new_zeros(()), 0
        for t in range(T):
            while u < U and times[u] == t:
                total, u = total + log_probs[t, u, target[u]], u + 1
            total = total + log_probs[t, u, blank]
        found.append((list(times), total))
    return found


TARGETS = [[], [1], [1, 1, 2], [2, 1]]
LENGTHS = [3, 1, 4, 4]


@pytest.mark.parametrize("blank", [0, 2])
def test_loss_is_the_sum_over_all_ways(blank: int) -> None:
    targets = [[(label + blank) % 3 for label in target] for target in TARGETS]
    scores = torch.randn(4, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    log_probs = scores.log_softmax(-1)
    each = []
    for b, (T, target) in enumerate(zip(LENGTHS, targets, strict=True)):
        every = ways(log_probs[:T, b], target, blank)
        each.append(-torch.stack([value for _, value in every]).logsumexp(0))
    loss = ca.transducer_loss(scores, targets, LENGTHS, blank=blank, reduction="none")
    assert_close(loss, torch.stack(each))
    weights = torch.rand(4, dtype=torch.float64)
    (found,) = torch.autograd.grad((loss * weights).sum(), scores)
    (wanted,) = torch.autograd.grad((torch.stack(each) * weights).sum(), scores)
    assert_close(found, wanted)
    assert_close(ca.transducer_loss(scores[:3, 0], [], blank=blank, reduction="sum"), each[0])


def test_gradient_is_right_behind_log_probabilities_too() -> None:
    given = torch.randn(3, 2, 3, 3, dtype=torch.float64).log_softmax(-1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ca.transducer_loss(x, [[1, 2], [2]], [3, 2]), given)


def test_what_lies_outside_the_lattice_is_not_read() -> None:
    scores = torch.randn(4, 2, 3, 3)
    scores[2:, 0] = torch.nan
    scores[:, 1, 2:] = torch.nan
    scores.requires_grad_()
    ca.transducer_loss(scores, [[1, 2], [1]], [2, 4]).backward()
    assert scores.grad is not None and bool(scores.grad.isfinite().all()) and bool((scores.grad[2:, 0] == 0).all())


def test_many_frames_and_threads(engine: str) -> None:
    """Long lattices keep their precision, and threads change no bit."""
    scores = torch.randn(200, 3, 31, 5)
    targets, lengths = torch.randint(1, 5, (3, 30)).tolist(), [200, 150, 40]
    exact = ca.transducer_loss(scores.double(), targets, lengths, reduction="none")
    loss = ca.transducer_loss(scores, targets, lengths, reduction="none")
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)
    torch.set_num_threads(2)
    assert torch.equal(loss, ca.transducer_loss(scores, targets, lengths, reduction="none"))


REFUSED: list[tuple[Tensor, tuple[Any, ...], dict[str, Any], str]] = [
    (torch.zeros(3, 2, 2, 3), ([[1], [1, 2]],), {}, "expected U . 1 = 3 in its last axis but one"),
    (torch.zeros(3, 2, 2, 3), ([[1], [3]],), {}, "label 0 of target 1 is 3"),
    (torch.zeros(3, 2, 2, 3), ([[1], [0]],), {}, "which is the blank"),
    (torch.zeros(3, 2, 2, 3), ([[1], [1]], [3, 0]), {}, "sample 1 has no frame"),
    (torch.zeros(0, 2, 2, 3), ([[1], [1]],), {}, "sample 0 has no frame.*So it is with 1 more"),
    (
        torch.full((3, 2, 2, 3), torch.nan),
        ([[1], [1]],),
        {},
        "sample 0 has scores that are not finite, first at frame 0",
    ),
    (torch.zeros(3, 2, 3), ([1, 2],), {}, "expected U . 1 = 3"),
    (torch.zeros(3, 3), ([1, 2],), {}, r"expected .T, B, U . 1, K. or"),
    (torch.zeros(3, 2, 3).long(), ([1],), {}, "scores is torch.int64"),
    (torch.zeros(3, 2, 3), ([1],), {"blank": 3}, "blank is 3"),
    (torch.zeros(3, 2, 3), ([1],), {"reduction": "all"}, "reduction is 'all'"),
]


@pytest.mark.parametrize("scores, given, options, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_faults_are_named(scores: Tensor, given: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        ca.transducer_loss(scores, *given, **options)


# -- the nets

CELLS = {"lstm": ca.cells.lstm, "gru": ca.cells.gru, "minimal_lstm": ca.cells.min_lstm, "mlstm": ca.cells.mlstm}


def net_of(cell: str = "lstm", K: int = 3, dtype: torch.dtype = torch.float64) -> ca.Transducer:
    prediction = ca.Recurrent(CELLS[cell], 4, 4)
    net = ca.Transducer(nn.Embedding(K, 4, padding_idx=0), prediction, ca.TransducerJoint(5, 4, 6, K))
    for parameter in net.joint.parameters():
        nn.init.normal_(parameter, std=0.8)
    return net.to(dtype).eval()


@pytest.mark.parametrize("cell", ["lstm", "gru", "minimal_lstm"])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_lean_loss_is_the_loss(cell: str, chunk: int) -> None:
    """In chunks of frames, with the gradients of every parameter and of the frames."""
    net, encoded = net_of(cell), torch.randn(4, 4, 5, dtype=torch.float64, requires_grad=True)
    padded = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 2], [2, 1, 0]])
    whole = ca.transducer_loss(net(encoded, padded), TARGETS, LENGTHS)
    lean = net.loss(encoded, TARGETS, LENGTHS, chunk=chunk)
    assert_close(lean, whole)
    wanted = [encoded, *net.parameters()]
    assert_close(torch.autograd.grad(lean, wanted), torch.autograd.grad(whole, wanted))
    assert_close(net.loss(encoded, padded, LENGTHS, [len(target) for target in TARGETS], chunk=chunk), whole)


def test_alignment_is_the_best_of_all_ways() -> None:
    net, encoded = net_of(), torch.randn(4, 4, 5, dtype=torch.float64)
    for b, found in enumerate(net.align(encoded, TARGETS, LENGTHS)):
        scores = net(encoded[: LENGTHS[b], b : b + 1], torch.tensor([TARGETS[b]], dtype=torch.int64))
        times, value = max(ways(scores.log_softmax(-1)[:, 0], TARGETS[b], 0), key=lambda way: float(way[1].detach()))
        assert found.labels.tolist() == TARGETS[b] and found.times.tolist() == times
        assert found.log_prob == pytest.approx(value.item())
        written = [scores.log_softmax(-1)[t, 0, u, TARGETS[b][u]].item() for u, t in enumerate(times)]
        assert found.scores.tolist() == pytest.approx(written)


def every_transcript(net: ca.Transducer, encoded: Tensor, most: int) -> dict[tuple[int, ...], float]:
    """By enumeration of what may be written at each frame."""
    T, K = len(encoded), net.embedding.num_embeddings
    pieces = [piece for n in range(most + 1) for piece in itertools.product(range(1, K), repeat=n)]
    found: dict[tuple[int, ...], list[Tensor]] = {}
    for way in itertools.product(pieces, repeat=T):
        labels = tuple(itertools.chain(*way))
        scores = net(encoded[:, None], torch.tensor([labels], dtype=torch.int64))[:, 0].log_softmax(-1)
        total, u = scores.new_zeros(()), 0
        for t, piece in enumerate(way):
            for label in piece:
                total, u = total + scores[t, u, label], u + 1
            total = total + scores[t, u, 0]
        found.setdefault(labels, []).append(total)
    return {labels: torch.stack(values).logsumexp(0).item() for labels, values in found.items()}


@torch.no_grad()
def test_states_may_be_matrices() -> None:
    with ca.use_engine("auto"):
        test_wide_beam_ranks_all_transcripts("mlstm")


@pytest.mark.parametrize("cell", ["lstm", "gru", "minimal_lstm"])
@torch.no_grad()
def test_wide_beam_ranks_all_transcripts(cell: str) -> None:
    net, encoded = net_of(cell), torch.randn(3, 5, dtype=torch.float64)
    every = every_transcript(net, encoded, most=2)
    wanted = sorted(every, key=lambda labels: -every[labels])
    ((*found,),) = ca.TransducerBeam(net, beam=1000, nbest=1000, most=2)(encoded[:, None])
    assert [one.labels for one in found] == wanted
    assert [one.log_prob for one in found] == pytest.approx([every[labels] for labels in wanted])
    assert all(list(one.times) == sorted(one.times) and len(one.times) == len(one.labels) for one in found)


@torch.no_grad()
def test_greedy_takes_the_best_step() -> None:
    net, encoded = net_of(K=4), torch.randn(12, 5, dtype=torch.float64)
    ((found,),) = ca.TransducerGreedy(net, most=2)(encoded[:, None])
    labels: list[int] = []
    total = 0.0
    for t in range(12):
        for count in range(3):
            scores = net(encoded[t : t + 1, None], torch.tensor([labels], dtype=torch.int64))[0, 0, -1].log_softmax(-1)
            label = int(scores.argmax()) if count < 2 else 0
            total += float(scores[label])
            if label == 0:
                break
            assert found.times[len(labels)] == t
            labels.append(label)
    assert found.labels == tuple(labels) and len(labels) > 2 and found.log_prob == pytest.approx(total)


@pytest.mark.parametrize("make", [ca.TransducerGreedy, lambda net: ca.TransducerBeam(net, beam=4, nbest=2)])
def test_ragged_batches_and_streams(make: Any) -> None:
    net, encoded, lengths = net_of(K=4), torch.randn(9, 3, 5, dtype=torch.float64), [9, 0, 5]
    search = make(net)
    found = search(encoded, lengths)
    stream = search.stream()
    for b, T in enumerate(lengths):
        seen: tuple[int, ...] = ()
        for piece in encoded[:T, b].split(2):
            partial = stream.feed(piece)
            assert partial.labels[: len(seen)] == seen
            seen = partial.labels[: partial.stable]
        assert stream.finish() == found[b]
    assert found[1] == [Hypothesis((), 0.0, 0.0, ())]


def test_learns_to_transcribe() -> None:
    """Frames that show labels, now and then: after some steps both searches read them."""
    torch.manual_seed(1)
    net = net_of(K=4, dtype=torch.float32).train()
    encoder = nn.Linear(4, 5)
    optimizer = torch.optim.Adam([*net.parameters(), *encoder.parameters()], 0.02)
    frames = torch.zeros(8, 4, 4)
    targets = [[1, 2], [3], [2, 2, 1], [3, 1]]
    for b, target in enumerate(targets):
        for n, label in enumerate(target):
            frames[2 * n + 1, b, label] = 1
    for _ in range(120):
        optimizer.zero_grad()
        loss = net.loss(encoder(frames), targets)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        encoded = encoder(frames)
    for search in (ca.TransducerGreedy(net.eval()), ca.TransducerBeam(net.eval(), beam=3)):
        assert [list(one.labels) for (one,) in search(encoded)] == targets
    assert [found.labels.tolist() for found in net.align(encoded, targets)] == targets


def test_nets_are_checked() -> None:
    net = net_of()
    encoded = torch.randn(3, 2, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match="blank is 4, expected 0 to 3"):
        ca.Transducer(nn.Embedding(4, 2), ca.LSTM(2, 2), nn.Identity(), blank=4)
    with pytest.raises(ValueError, match="bidirectional or batch_first"):
        ca.Transducer(nn.Embedding(4, 2), ca.LSTM(2, 2, bidirectional=True), nn.Identity())
    with pytest.raises(ValueError, match=r"encoded has shape .3, 5., expected .T, B, D."):
        net.loss(encoded[:, 0], [[1]])
    with pytest.raises(ValueError, match="encoded is a list"):
        ca.TransducerGreedy(net)([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunk is 0"):
        net.loss(encoded, [[1], [2]], chunk=0)
    with pytest.raises(ValueError, match="Transducer: sample 1 has scores that are not finite, first at frame 2"):
        net.loss(torch.where(torch.arange(6).view(3, 2, 1) == 5, torch.nan, encoded), [[1], [2]])
    with pytest.raises(ValueError, match="not finite at frame 1"):
        ca.TransducerBeam(net)(torch.where(torch.arange(3).view(3, 1, 1) == 1, torch.inf, encoded))
    with pytest.raises(ValueError, match=r"expected .T, D."):
        ca.TransducerBeam(net).stream().feed(encoded)
    for options in ({"beam": 0}, {"nbest": 0}, {"most": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is 0"):
            ca.TransducerBeam(net, **options)
