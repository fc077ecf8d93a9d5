"""CTC: the loss and the alignment equal enumeration of all paths, and what PyTorch's loss lets pass is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import carousel as ca
from labelling_paths import best_path_of, collapse, paths, transcripts
from tolerances import assert_close

LABELS: list[list[int]] = [[], [1], [1, 1], [1, 2], [2, 1, 2], [2, 2]]


def scores_of(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("blank", [0, 1, 2])
def test_loss_is_the_sum_over_all_paths(blank: int) -> None:
    """Loss and gradient, with repetitions, empty targets, ragged frames and the blank at any place."""
    lengths = [4, 1, 4, 3, 4, 3]
    targets = [[(label + blank) % 3 for label in labels] for labels in LABELS]
    scores = scores_of(4, 6, 3).requires_grad_()
    loss = ca.ctc_loss(scores, targets, lengths, blank=blank, reduction="none")
    each = [-transcripts(scores[:T, b].log_softmax(-1), blank)[tuple(targets[b])] for b, T in enumerate(lengths)]
    assert_close(loss, torch.stack(each))
    weights = torch.rand(6, dtype=torch.float64)
    (found,) = torch.autograd.grad((loss * weights).sum(), scores, retain_graph=True)
    (wanted,) = torch.autograd.grad((torch.stack(each) * weights).sum(), scores)
    assert_close(found, wanted)


def test_gradient_is_right_behind_log_probabilities_too() -> None:
    """PyTorch's own is not (#52241)."""
    targets = [[1, 2], [2, 2]]
    given = scores_of(4, 2, 3).log_softmax(-1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ca.ctc_loss(x, targets), given)


def test_reductions_are_those_of_pytorch() -> None:
    scores, targets, lengths = scores_of(6, 3, 4), [[1, 2], [], [3, 3, 1]], [6, 2, 5]
    padded, ends = torch.tensor([[1, 2, 0], [0, 0, 0], [3, 3, 1]]), torch.tensor([2, 0, 3])
    for reduction in ("mean", "sum", "none"):
        ours = ca.ctc_loss(scores, targets, lengths, reduction=reduction)
        theirs = torch.nn.functional.ctc_loss(
            scores.log_softmax(-1), padded, torch.tensor(lengths), ends, reduction=reduction
        )
        assert_close(ours, theirs)
        assert_close(ca.ctc_loss(scores, padded, lengths, ends.int(), reduction=reduction), theirs)
        assert_close(ca.CTCLoss(reduction=reduction)(scores, targets, lengths), theirs)


def test_one_sample_needs_no_batch() -> None:
    scores = scores_of(5, 3)
    assert_close(ca.ctc_loss(scores, [1, 2]), ca.ctc_loss(scores[:, None], [[1, 2]]))
    assert ca.ctc_loss(scores, [1, 2], reduction="none").shape == ()
    assert ca.CTCLoss(reduction="none", faulty="leave out")(scores, [1, 2]).shape == ()


def test_what_lies_past_the_end_is_not_read() -> None:
    scores = scores_of(5, 2, 3)
    scores[3:, 1] = torch.nan
    scores.requires_grad_()
    ca.ctc_loss(scores, [[1, 2], [1, 2]], [5, 3]).backward()
    assert scores.grad is not None and bool((scores.grad[3:, 1] == 0).all()) and bool(scores.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    scores = scores_of(4, 2, 3).to(dtype)
    loss = ca.ctc_loss(scores, [[1], [2, 1]])
    assert loss.dtype == torch.float32
    assert_close(loss, ca.ctc_loss(scores.float(), [[1], [2, 1]]))


def test_no_frames() -> None:
    """An empty target is certain, any other is impossible."""
    scores = torch.empty(0, 2, 3, requires_grad=True)
    loss = ca.ctc_loss(scores, [[], []])
    loss.backward()
    assert loss == 0 and scores.grad is not None
    with pytest.raises(ValueError, match="sample 1 has 0 frames, but its target of 1 labels needs 1"):
        ca.ctc_loss(scores, [[], [1]])


def broken(value: float, t: int = 1) -> Tensor:
    scores = torch.zeros(4, 2, 3)
    scores[t, 1, 2] = value
    return scores


GOOD = torch.zeros(4, 2, 3)
REFUSED: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
    (broken(torch.nan), ([[1], [1]],), {}, "sample 1 has scores that are not finite, first at frame 1"),
    (broken(torch.inf), ([[1], [1]],), {}, "sample 1 has scores that are not finite"),
    (broken(-torch.inf, 2), ([[1], [1]],), {}, "not finite, first at frame 2"),
    (GOOD, ([[1, 1, 2, 2], [1]],), {}, "sample 0 has 4 frames, but its target of 4 labels needs 6"),
    (GOOD, ([[1, 1, 1], [2, 2, 2]],), {}, "So it is with 1 more"),
    (GOOD, ([[1], [1, 2]], [4, 1]), {}, "sample 1 has 1 frames"),
    (GOOD, ([[1], [3]],), {}, "label 0 of target 1 is 3, expected 0 to 2"),
    (GOOD, ([[1, -1], [1]],), {}, "label 1 of target 0 is -1"),
    (GOOD, ([[1, 0], [1]],), {}, "label 1 of target 0 is 0, which is the blank"),
    (GOOD, ([[1], [2]],), {"blank": 2}, "which is the blank"),
    (GOOD, ([[1], [2]],), {"blank": 3}, "blank is 3, expected one of the K = 3 labels"),
    (GOOD, ([[1], [2]],), {"blank": -1}, "blank is -1"),
    (GOOD, ([[1], [2]],), {"reduction": "sums"}, "reduction is 'sums', expected one of: mean, sum, none"),
    (GOOD, ([[1]],), {}, "there are 1 targets for B = 2 samples"),
    (GOOD, ([[1.5], [2]],), {}, "target 0 has dtype torch.float32"),
    (GOOD, ([[1], [2]], [4.0, 4.0]), {}, "lengths has dtype float32"),
    (GOOD, ([[1], [2]], [4, 5]), {}, "expected 0 to 4"),
    (GOOD, ([[1], [2]], None, [1, 1]), {}, "target_lengths was given with a list"),
    (GOOD, (torch.ones(2, 1, dtype=torch.int64),), {}, "target_lengths .* has to be given"),
    (GOOD, (torch.ones(2, dtype=torch.int64),), {}, r"targets has shape \(2,\), expected \(B, S\)"),
    (GOOD[:, :0], ([],), {}, "there is no sample"),
    (GOOD.long(), ([[1], [2]],), {}, "scores is torch.int64"),
    (GOOD[0, 0], ([1],), {}, r"scores has shape \(3,\)"),
]


@pytest.mark.parametrize("scores, given, options, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_faults_are_named(scores: Tensor, given: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        ca.ctc_loss(scores, *given, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_faulty_samples_are_left_out_and_counted(reduction: str) -> None:
    """Loss and gradient are those of the others alone; NaN does not come back."""
    scores = scores_of(4, 4, 3)
    scores[2, 0, 1] = torch.nan
    scores[0, 1] = torch.inf
    scores.requires_grad_()
    loss = ca.CTCLoss(reduction=reduction, faulty="leave out")
    value = loss(scores, [[1], [2], [1, 1, 1], [1, 2]])
    assert loss.left_out == 3 and sorted(loss.faults) == [0, 1, 2] and "needs 5" in loss.faults[2]
    alone = ca.ctc_loss(scores[:, 3:].detach(), [[1, 2]], reduction=reduction)
    assert_close(value[3:] if reduction == "none" else value, alone)
    value.sum().backward()
    assert scores.grad is not None and bool((scores.grad[:, :3] == 0).all()) and bool(scores.grad[:, 3].any())
    loss(scores.detach()[:, :1], [[1]])
    assert loss.left_out == 4


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_where_every_sample_is_faulty_nothing_is_learned(reduction: str) -> None:
    scores = torch.full((3, 2, 3), torch.nan, requires_grad=True)
    value = ca.CTCLoss(reduction=reduction, faulty="leave out")(scores, [[1], [2]])
    value.sum().backward()
    assert bool((value == 0).all()) and scores.grad is not None and bool((scores.grad == 0).all())


def test_faulty_is_checked() -> None:
    with pytest.raises(ValueError, match="faulty is 'skip'"):
        ca.CTCLoss(faulty="skip")
    with pytest.raises(ValueError, match="Leave such samples out"):
        ca.CTCLoss()(GOOD, [[1], [1, 1, 1, 1]])


# -- alignment


@pytest.mark.parametrize("blank", [0, 1, 2])
def test_alignment_is_the_best_of_all_paths(blank: int) -> None:
    lengths = [4, 2, 4, 5, 5, 3]
    targets = [[(label + blank) % 3 for label in labels] for labels in LABELS]
    scores = scores_of(5, 6, 3)
    for b, found in enumerate(ca.ctc_align(scores, targets, lengths, blank=blank)):
        log_probs = scores[: lengths[b], b].log_softmax(-1)
        path, value = best_path_of(log_probs, targets[b], blank)
        assert tuple(found.path.tolist()) == path and found.log_prob == pytest.approx(value)
        assert found.labels.tolist() == targets[b]
        for label, start, end, score in zip(found.labels, found.starts, found.ends, found.scores, strict=True):
            assert end > start and bool((found.path[start:end] == label).all())
            assert_close(score, log_probs[start:end, label].mean())
        assert sum((found.ends - found.starts).tolist()) == sum(label != blank for label in path)


def test_alignment_of_one_sample_and_of_nothing() -> None:
    found = ca.ctc_align(scores_of(3, 4), [])
    assert found.path.tolist() == [0, 0, 0] and len(found.starts) == 0
    assert ca.ctc_align(torch.empty(0, 4), []).log_prob == 0


def test_alignment_refuses_what_the_loss_refuses() -> None:
    with pytest.raises(ValueError, match="ctc_align: sample 0 has 2 frames, but its target of 2 labels needs 3"):
        ca.ctc_align(torch.zeros(2, 3), [1, 1])
    with pytest.raises(ValueError, match="ctc_align: sample 1 has scores that are not finite"):
        ca.ctc_align(broken(torch.nan), [[1], [1]])


# -- best path


@pytest.mark.parametrize("blank", [0, 2])
def test_best_path_is_the_best_of_all_paths(blank: int) -> None:
    scores, lengths = scores_of(5, 4, 3), [5, 0, 3, 1]
    for b, (best,) in enumerate(ca.BestPath(blank)(scores, lengths)):
        every = paths(scores[: lengths[b], b].log_softmax(-1))
        path, value = max(every, key=lambda pair: float(pair[1]))
        assert best.labels == collapse(path, blank)
        assert best.score == best.log_prob == pytest.approx(float(value), abs=1e-5)
        assert [path[t] for t in best.times] == list(best.labels)
        assert all(t == 0 or path[t - 1] != path[t] for t in best.times)


def test_best_path_in_pieces_is_the_best_path() -> None:
    scores = scores_of(20, 3)
    (whole,) = ca.BestPath()(scores)
    stream, seen = ca.BestPath().stream(), ()
    for piece in scores.split([0, 1, 7, 5, 7]):
        partial = stream.feed(piece)
        assert partial.labels[: len(seen)] == seen and partial.stable == len(partial.labels)
        seen = partial.labels
    (found,) = stream.finish()
    assert found.labels == whole.labels == seen and found.times == whole.times
    assert found.log_prob == pytest.approx(whole.log_prob)
    assert stream.finish()[0].labels == ()


def test_best_path_refuses() -> None:
    with pytest.raises(ValueError, match="BestPath: sample 1 has scores that are not finite"):
        ca.BestPath()(broken(torch.nan))
    with pytest.raises(ValueError, match="blank is 3"):
        ca.BestPath(3)(GOOD)
