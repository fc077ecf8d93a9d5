"""Recognition by prefix beam search, with a language model where wanted.

Legend: T frames, B batch, K labels with the blank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from carousel.labelling.batch import check_blank, find_faults, raise_fault, read_frames
from carousel.labelling.core import core
from carousel.labelling.hypothesis import Hypothesis, Partial
from carousel.labelling.language_model import LanguageModel
from carousel.labelling.plain_beam import PlainBeam


class BeamSearch:
    """Keeps the most probable beginnings of transcripts, frame after frame, each with all its paths together.

    The prefix beam search of Hannun, Maas, Jurafsky & Ng (2014, arXiv:1408.2873, Algorithm 1), as in Graves & Jaitly
    (ICML 2014). A transcript's score is

        ln p(labels | frames) + weight * ln p(labels) + bonus * units

    of which the second is the language model's (shallow fusion); units are labels, or words for a model of words.
    The search is exact where the beam holds every beginning; a beginning that falls out loses its paths.

    Args:
        beam: how many beginnings are kept.
        blank: which label is the blank.
        nbest: how many transcripts are returned.
        language_model: a `LanguageModel`: `NGram.labels`, `NGram.words`, a `LabelModel`, or an object of one's own.
        weight: of the language model, from 0.
        bonus: for each unit, in nats: a language model alone makes transcripts short.
        threshold: labels whose probability at a frame is below are not tried there: 0 tries all, 1e-4 saves much time
            where there are many labels and changes little.

    Raises ValueError for values out of range.

    >>> import math
    >>> import torch
    >>> scores = torch.tensor([[0.6, 0.4, 0], [0.6, 0.4, 0]]).add(1e-9).log()
    >>> (best,) = BeamSearch()(scores)
    >>> best.labels, round(math.exp(best.log_prob), 3)  # 1 1, 1 - and - 1 together; the best path is - -
    ((1,), 0.64)
    """

    def __init__(
        self,
        beam: int = 100,
        *,
        blank: int = 0,
        nbest: int = 1,
        language_model: LanguageModel | None = None,
        weight: float = 1.0,
        bonus: float = 0.0,
        threshold: float = 0.0,
    ) -> None:
        for name, value in (("beam", beam), ("nbest", nbest)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"BeamSearch: {name} is {value!r}, expected a whole number from 1.")
        if not 0 <= weight < math.inf or not math.isfinite(bonus) or not 0 <= threshold < 1:
            raise ValueError(
                f"BeamSearch: weight is {weight}, bonus {bonus} and threshold {threshold}, expected a weight from 0, a "
                f"finite bonus, a threshold from 0 to 1."
            )
        self.beam, self.blank, self.nbest = beam, blank, nbest
        self.language_model, self.weight, self.bonus, self.threshold = language_model, weight, bonus, threshold

    def __call__(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list:
        """For each sample its transcripts, a list of `Hypothesis`, the best first; for scores (T, K) that list alone.

        Args:
            scores: (T, B, K) or (T, K), before the softmax, or log-probabilities.
            lengths: (B,) how many frames each sample has; None is T.

        Raises TypeError, ValueError for what does not fit, and for scores that are not finite.
        """
        frames = read_frames("BeamSearch", scores, lengths, self.blank)
        raise_fault("BeamSearch", find_faults(frames))
        found = []
        for sample in frames.samples():
            search = self.start(sample.shape[-1])
            search.feed(sample)
            found.append([_hypothesis(*one) for one in search.finish(self.nbest)])
        return found if frames.batched else found[0]

    def stream(self, settle: int | None = None) -> BeamSearchStream:
        """A recogniser that is fed some frames at a time.

        What everything in the beam begins with is stable; two readings of an early label may live side by side for very
        long. With `settle`, the labels that the best transcript began more than so many frames ago are final, and
        beginnings that contradict them are dropped.

        Raises ValueError for a `settle` that is no number of frames.

        >>> import torch
        >>> stream = BeamSearch().stream()
        >>> partial = stream.feed(torch.eye(3)[[1, 1, 0]] * 9)
        >>> partial.labels, partial.stable
        ((1,), 0)
        >>> stream.finish()[0].labels
        (1,)
        """
        if settle is not None and (not isinstance(settle, int) or settle < 0):
            raise ValueError(f"BeamSearch: settle is {settle!r}, expected a number of frames, or None.")
        return BeamSearchStream(self, settle)

    def start(self, K: int, settle: int | None = None) -> Any:
        """A search over frames of K labels, in the core or in plain Python."""
        check_blank("BeamSearch", self.blank, K)
        found, model = core("BeamSearch"), self.language_model
        space = getattr(model, "space", None)
        least = math.log(self.threshold) if self.threshold else -math.inf
        if found is None:
            return PlainBeam(self.blank, self.beam, least, model, self.weight, self.bonus, space, settle)
        own: Any = model
        if model is not None:
            own = model.native(found) if hasattr(model, "native") else found.PythonModel(model)
        ends = [-1 if number is None else number for number in (space, settle)]
        return _NativeBeam(found.BeamSearch(K, self.blank, self.beam, least, own, self.weight, self.bonus, *ends))


class _NativeBeam:
    """A search in the core, which has the methods of `PlainBeam`."""

    def __init__(self, search: Any) -> None:
        self.search, self.best, self.finish = search, search.best, search.finish

    def feed(self, log_probs: Tensor) -> None:
        self.search.feed(log_probs.data_ptr(), len(log_probs))


class BeamSearchStream:
    """See `BeamSearch.stream`."""

    def __init__(self, decoder: BeamSearch, settle: int | None) -> None:
        self.decoder, self.settle, self._labels = decoder, settle, 0
        self._search: Any = None

    def feed(self, scores: Tensor) -> Partial:
        """The next frames (T, K).

        Raises TypeError, ValueError for what does not fit, and for scores that are not finite.
        """
        frames = read_frames("BeamSearch", scores, None, self.decoder.blank)
        if frames.batched or (self._search and self._labels != scores.shape[-1]):
            expected = f"K = {self._labels} as before" if self._search else "one sample"
            raise ValueError(f"BeamSearch: scores has shape {tuple(scores.shape)}, expected (T, K) with {expected}.")
        raise_fault("BeamSearch", find_faults(frames))
        self._search, self._labels = self._search or self.decoder.start(scores.shape[-1], self.settle), scores.shape[-1]
        self._search.feed(frames.samples()[0])
        labels, times, stable = self._search.best()
        return Partial(tuple(labels), tuple(times), stable)

    def finish(self) -> list[Hypothesis]:
        """The transcripts, the best first; the stream begins anew."""
        search, self._search = self._search or self.decoder.start(self.decoder.blank + 1), None
        return [_hypothesis(*one) for one in search.finish(self.decoder.nbest)]


def _hypothesis(labels: Sequence[int], score: float, log_prob: float, times: Sequence[int]) -> Hypothesis:
    return Hypothesis(tuple(labels), score, log_prob, tuple(times))
