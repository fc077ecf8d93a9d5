"""Recognition by the best path.

Legend: T frames, B batch, K labels with the blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from carousel.labelling.batch import find_faults, raise_fault, read_frames
from carousel.labelling.hypothesis import Hypothesis, Partial


class BestPath:
    """Takes the most probable label of each frame, then drops repetitions and blanks.

    Graves et al. (2006), doi:10.1145/1143844.1143891, section 3.2: fast, and not always the most probable transcript.

    Args:
        blank: which label is the blank.

    >>> import torch
    >>> scores = torch.eye(3)[[1, 1, 0, 1, 2]] * 9  # the labels 1 1 - 1 2
    >>> (best,) = BestPath()(scores)
    >>> best.labels, best.times
    ((1, 1, 2), (0, 3, 4))
    """

    def __init__(self, blank: int = 0) -> None:
        self.blank = blank

    def __call__(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list:
        """For each sample a list of one `Hypothesis`; for scores (T, K) of one sample that list alone.

        Args:
            scores: (T, B, K) or (T, K), before the softmax, or log-probabilities.
            lengths: (B,) how many frames each sample has; None is T.

        Raises TypeError, ValueError for what does not fit, and for scores that are not finite.
        """
        frames = read_frames("BestPath", scores, lengths, self.blank)
        raise_fault("BestPath", find_faults(frames))
        found = []
        for sample in frames.samples():
            stream = BestPathStream(self.blank)
            stream.take(sample)
            found.append(stream.finish())
        return found if frames.batched else found[0]

    def stream(self) -> BestPathStream:
        """A recogniser that is fed some frames at a time.

        >>> stream = BestPath().stream()
        >>> stream.feed(torch.eye(3)[[1, 1]] * 9).labels, stream.feed(torch.eye(3)[[1, 0, 2]] * 9).labels
        ((1,), (1, 2))
        >>> stream.finish()[0].times
        (0, 4)
        """
        return BestPathStream(self.blank)


class BestPathStream:
    """See `BestPath.stream`."""

    def __init__(self, blank: int) -> None:
        self.blank, self._last = blank, blank
        self._labels: list[int] = []
        self._times: list[int] = []
        self._frames, self._log_prob = 0, 0.0

    def feed(self, scores: Tensor) -> Partial:
        """The next frames (T, K). Every label is stable at once."""
        frames = read_frames("BestPath", scores, None, self.blank)
        raise_fault("BestPath", find_faults(frames))
        self.take(frames.samples()[0])
        return Partial(tuple(self._labels), tuple(self._times), len(self._labels))

    def take(self, log_probs: Tensor) -> None:
        values, labels = log_probs.max(-1)
        self._log_prob += values.sum(dtype=torch.float64).item()
        before = torch.cat([labels.new_tensor([self._last]), labels])
        begun = (labels != before[:-1]) & (labels != self.blank)
        self._labels += labels[begun].tolist()
        self._times += (begun.nonzero()[:, 0] + self._frames).tolist()
        self._last = int(before[-1])
        self._frames += len(labels)

    def finish(self) -> list[Hypothesis]:
        """The transcript; the stream begins anew."""
        found = Hypothesis(tuple(self._labels), self._log_prob, self._log_prob, tuple(self._times))
        self.__init__(self.blank)  # type: ignore[misc]
        return [found]
