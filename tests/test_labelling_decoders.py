"""Prefix search and beam search: equal to enumeration of all paths, compiled and plain, whole and in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import fast_ctc_decode
import pytest
import torch
from torch import Tensor

import carousel as ca
from carousel.labelling import Hypothesis
from labelling_paths import best_path_of, transcripts
from runs import ENGINES

WIDE = 1000  # a beam that holds everything


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with ca.use_engine(request.param):
        yield request.param


def scores_of(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def peaky(T: int, K: int, seed: int) -> Tensor:
    """As trained nets give them: blanks all but certain, now and then a label."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(T, K, generator=draw)
    scores[:, 0] += 4
    for t in torch.randperm(T, generator=draw)[: T // 4].tolist():
        scores[t, torch.randint(K, (), generator=draw)] += 8
    return scores


def ranked(scores: Tensor, blank: int = 0) -> list[tuple[tuple[int, ...], float]]:
    found = transcripts(scores.log_softmax(-1), blank)
    return sorted(((labels, float(value)) for labels, value in found.items()), key=lambda pair: -pair[1])


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("seed", range(8))
def test_prefix_search_finds_the_most_probable_transcript(seed: int, blank: int) -> None:
    scores = scores_of(6, 3, seed=seed)
    ((labels, value), *_) = ranked(scores, blank)
    (best,) = ca.PrefixSearch(blank, threshold=1)(scores)
    assert best.labels == labels and best.log_prob == best.score == pytest.approx(value, abs=1e-5)
    assert len(best.times) == len(labels)


def test_prefix_search_in_sections() -> None:
    """Each is searched by itself, and the frames between them count: less than all paths of the transcript."""
    scores = torch.cat([scores_of(4, 3), torch.tensor([[30.0, 0, 0]]), scores_of(3, 3, seed=1)])
    scores = torch.cat([torch.tensor([[30.0, 0, 0]] * 2), scores, torch.tensor([[30.0, 0, 0]])])
    (whole,), (cut,) = ca.PrefixSearch(threshold=1)(scores), ca.PrefixSearch()(scores)
    first, second = (ca.PrefixSearch()(part)[0] for part in (scores[2:6], scores[7:10]))
    assert cut.labels == first.labels + second.labels
    assert cut.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-5)
    assert whole.log_prob == pytest.approx(ranked(scores[2:10])[0][1], abs=1e-5) and whole.log_prob >= cut.log_prob


def test_prefix_search_of_many_frames_stays_in_range(engine: str) -> None:
    T = 3000 if engine == "native" else 500
    scores = peaky(T, 5, 0)
    (found,) = ca.PrefixSearch(threshold=0.999)(scores)
    assert math.isfinite(found.log_prob) and len(found.labels) > T / 10
    flat = torch.zeros(20, 4)
    with pytest.raises(RuntimeError, match="a section of 20 frames: more than 50 prefixes would have to be extended"):
        ca.PrefixSearch(most=50)(flat)


def test_prefix_search_of_a_ragged_batch() -> None:
    scores, lengths = scores_of(6, 4, 3), [6, 0, 3, 1]
    found = ca.PrefixSearch()(scores, lengths)
    for b, T in enumerate(lengths):
        assert found[b][0].labels == ca.PrefixSearch()(scores[:T, b])[0].labels
    assert found[1][0] == Hypothesis((), 0.0, 0.0, ())
    for wrong in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"threshold is {wrong}"):
            ca.PrefixSearch(threshold=wrong)
    with pytest.raises(ValueError, match="PrefixSearch: sample 0 has scores that are not finite"):
        ca.PrefixSearch()(torch.full((2, 3), torch.nan))


@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_ranks_all_transcripts(seed: int, blank: int) -> None:
    """Every transcript with the probability of all its paths, and with the best path's times."""
    scores = scores_of(5, 3, seed=seed)
    every = ranked(scores, blank)
    found = ca.BeamSearch(WIDE, blank=blank, nbest=WIDE)(scores)
    assert [one.labels for one in found] == [labels for labels, _ in every]
    assert [one.log_prob for one in found] == pytest.approx([value for _, value in every], abs=1e-5)
    for one in found:
        path, _ = best_path_of(scores.log_softmax(-1), one.labels, blank)
        starts = [t for t, k in enumerate(path) if k != blank and (t == 0 or path[t - 1] != k)]
        assert list(one.times) == starts
        assert one.score == one.log_prob


def test_narrow_beam_is_the_same_compiled_and_plain(engine: str) -> None:
    for seed in range(6):
        scores = scores_of(30, 6, seed=seed)
        search = ca.BeamSearch(4, nbest=4, threshold=0.02)
        found = search(scores)
        with ca.use_engine("eager"):
            plain = search(scores)
        assert [(one.labels, one.times) for one in found] == [(one.labels, one.times) for one in plain]
        assert [one.score for one in found] == pytest.approx([one.score for one in plain], abs=1e-4)


def test_beam_of_one_sample_and_of_a_ragged_batch() -> None:
    scores, lengths = scores_of(9, 3, 4), [9, 0, 5]
    found = ca.BeamSearch(20, nbest=3)(scores, lengths)
    for b, T in enumerate(lengths):
        alone = ca.BeamSearch(20, nbest=3)(scores[:T, b])
        assert [one.labels for one in alone] == [one.labels for one in found[b]]
    assert found[1] == [Hypothesis((), 0.0, 0.0, ())]


@pytest.mark.parametrize(
    "options", [{"beam": 0}, {"nbest": 0}, {"weight": -1.0}, {"threshold": 1.0}, {"bonus": math.inf}]
)
def test_beam_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ca.BeamSearch(**options)


def test_beam_refuses() -> None:
    with pytest.raises(ValueError, match="blank is 3"):
        ca.BeamSearch(blank=3)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="sample 1 has scores that are not finite"):
        ca.BeamSearch()(torch.tensor([[[0.0, 0], [0, math.inf]]]))
    stream = ca.BeamSearch().stream()
    stream.feed(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="with K = 3 as before"):
        stream.feed(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="expected .T, K. with one sample"):
        ca.BeamSearch().stream().feed(torch.zeros(2, 1, 4))


# -- streams


def test_a_stream_gives_what_the_whole_gives_and_keeps_its_word() -> None:
    scores = peaky(80, 6, 3)
    search = ca.BeamSearch(2, nbest=2)
    stream, stable = search.stream(), ()
    for piece in scores.split([0, 1, 20, 30, 9, 20]):
        partial = stream.feed(piece)
        assert partial.labels[: len(stable)] == stable and partial.stable >= len(stable)
        stable = partial.labels[: partial.stable]
    found = stream.finish()
    assert len(stable) > 3 and all(one.labels[: len(stable)] == stable for one in found)
    assert found == search(scores)
    assert stream.finish() == [Hypothesis((), 0.0, 0.0, ())]
    assert stream.feed(scores[:20]) == search.stream().feed(scores[:20])


def test_labels_settle(engine: str) -> None:
    """After so many frames they are final, however the frames are cut; and compiled and plain agree."""
    scores = torch.cat([peaky(100, 5, seed) for seed in range(5)])
    search, seen = ca.BeamSearch(6, nbest=3), []
    for size in (1, 50, 500):
        stream, stable = search.stream(settle=30), ()
        for k, piece in enumerate(scores.split(size), 1):
            partial = stream.feed(piece)
            assert partial.labels[: len(stable)] == stable
            stable = partial.labels[: partial.stable]
            assert all(t >= k * size - 30 for t in partial.times[partial.stable :])
        seen.append(stream.finish())
    assert seen[0] == seen[1] == seen[2]
    with ca.use_engine("eager"):
        stream = search.stream(settle=30)
        stream.feed(scores)
        assert [one.labels for one in stream.finish()] == [one.labels for one in seen[0]]
    with pytest.raises(ValueError, match="settle is -1"):
        search.stream(settle=-1)


# -- others


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", [peaky, lambda T, K, seed: scores_of(T, K, seed=seed)])
def test_the_best_is_that_of_fast_ctc_decode(kind: Any, seed: int) -> None:
    """Whose beam search has no language model, and reports the beam's best."""
    scores = kind(40, 5, seed)
    alphabet = "-abcd"
    theirs, _ = fast_ctc_decode.beam_search(scores.softmax(-1).numpy(), alphabet, beam_size=50, beam_cut_threshold=0.0)
    assert ca.BeamSearch(50)(scores)[0].text(alphabet) == theirs
    path, times = fast_ctc_decode.viterbi_search(scores.softmax(-1).numpy(), alphabet)
    (best,) = ca.BestPath()(scores)
    assert best.text(alphabet) == path and list(best.times) == times
