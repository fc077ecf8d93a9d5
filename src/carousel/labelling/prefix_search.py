"""Recognition by prefix search.

Legend: T frames, B batch, K labels with the blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from carousel.labelling.align import Alignment, ctc_align
from carousel.labelling.batch import find_faults, raise_fault, read_frames
from carousel.labelling.core import core
from carousel.labelling.hypothesis import Hypothesis
from carousel.labelling.plain_prefix import plain_prefix_search


class PrefixSearch:
    """Finds the most probable transcript, by looking first at the beginning that most probability is left for.

    Graves et al. (2006), doi:10.1145/1143844.1143891, section 3.2. Its time may grow exponentially with the frames, so
    they are cut where a blank is all but certain, and each section is searched by itself: in sections the search is
    exact, where they are cut it is a heuristic.

    Args:
        blank: which label is the blank.
        threshold: frames whose blank is more probable are cuts; 0.9999 is the paper's. 1 cuts nowhere.
        most: how many beginnings may be extended in a section.

    Raises ValueError for a threshold that is no probability.

    >>> import math
    >>> import torch
    >>> scores = torch.tensor([[0.6, 0.4, 0], [0.6, 0.4, 0]]).add(1e-9).log()
    >>> (best,) = PrefixSearch()(scores)
    >>> best.labels, round(math.exp(best.log_prob), 3)  # 1 1, 1 - and - 1 together; the best path is - -
    ((1,), 0.64)
    """

    def __init__(self, blank: int = 0, threshold: float = 0.9999, most: int = 100_000) -> None:
        if not 0 < threshold <= 1 or most < 1:
            raise ValueError(
                f"PrefixSearch: threshold is {threshold} and most {most}, expected a probability, and a number from 1."
            )
        self.blank, self.threshold, self.most = blank, threshold, most

    def __call__(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list:
        """For each sample a list of one `Hypothesis`; for scores (T, K) of one sample that list alone.

        `score` and `log_prob` are the sum over sections and cuts, which the transcript's own may exceed.

        Args:
            scores: (T, B, K) or (T, K), before the softmax, or log-probabilities.
            lengths: (B,) how many frames each sample has; None is T.

        Raises:
            TypeError, ValueError: for what does not fit, and for scores that are not finite.
            RuntimeError: where a section needs more than `most` beginnings; a lower threshold makes sections shorter,
                and `BeamSearch` has no such limit.
        """
        frames = read_frames("PrefixSearch", scores, lengths, self.blank)
        raise_fault("PrefixSearch", find_faults(frames))
        found = [[self._transcript(sample)] for sample in frames.samples()]
        return found if frames.batched else found[0]

    def _transcript(self, log_probs: Tensor) -> Hypothesis:
        cuts = log_probs[:, self.blank].double().exp() > self.threshold
        labels: list[int] = []
        total = log_probs[cuts, self.blank].sum(dtype=torch.float64).item()
        for first, end in _sections(cuts.tolist()):
            own, log_prob = self._search(log_probs[first:end].contiguous())
            labels += own
            total += log_prob
        aligned = ctc_align(log_probs, labels, blank=self.blank)
        assert isinstance(aligned, Alignment)
        return Hypothesis(tuple(labels), total, total, tuple(aligned.starts.tolist()))

    def _search(self, log_probs: Tensor) -> tuple[list[int], float]:
        found, (T, K) = core("PrefixSearch"), log_probs.shape
        try:
            if found is None:
                return plain_prefix_search(log_probs, self.blank, self.most)
            return found.prefix_search(log_probs.data_ptr(), T, K, self.blank, self.most)
        except RuntimeError as error:
            raise RuntimeError(
                f"PrefixSearch: a section of {T} frames: {error}. A threshold below {self.threshold} makes sections "
                f"shorter; BeamSearch has no such limit."
            ) from None


def _sections(cuts: list[bool]) -> list[tuple[int, int]]:
    """First and end of each run of frames that are no cuts."""
    edges = [t for t, (before, here) in enumerate(zip([True, *cuts], [*cuts, True], strict=True)) if before != here]
    return list(zip(edges[::2], edges[1::2], strict=True))
