"""Recognition with a transducer, frame after frame.

Legend: T frames, B batch, D features of a frame, K labels with the blank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.labelling.batch import raise_fault
from carousel.labelling.hypothesis import Hypothesis, Partial
from carousel.labelling.plain_beam import log_add
from carousel.labelling.states import joined, row
from carousel.labelling.transducer import Transducer, Written, check_encoded
from carousel.layers.inputs import read_lengths

Labels = tuple[int, ...]


class Found(NamedTuple):
    """What was written, with what log-probability, and at which frames on the way that contributed most to it."""

    labels: Labels
    log_prob: float
    times: Labels


class TransducerBeam:
    """Keeps the most probable transcripts, frame after frame, each with all ways to write it together.

    Time-synchronous: at each frame every transcript may grow by up to `most` labels, all those that have grown by as
    many are extended in one call of the nets, and equal transcripts are added up when the frame ends. Graves's own
    search (2012, Algorithm 1) extends the most probable transcript first, one at a time; where the beam holds
    everything, both sum up all ways. `TransducerGreedy` takes the best step each time.

    Args:
        net: a `Transducer`, in evaluation.
        beam: how many transcripts are kept.
        nbest: how many are returned.
        most: how many labels may be written at one frame.

    Raises ValueError for numbers below 1.

    >>> import carousel as ca
    >>> joint = ca.TransducerJoint(encoded_size=6, predicted_size=5, hidden_size=8, labels=4)
    >>> net = ca.Transducer(torch.nn.Embedding(4, 3), ca.GRU(3, 5), joint).eval()
    >>> stream = TransducerBeam(net, beam=4).stream()
    >>> partial = stream.feed(torch.randn(7, 6))
    >>> (best,) = stream.finish()
    >>> best.labels == partial.labels
    True
    """

    def __init__(self, net: Transducer, beam: int = 10, nbest: int = 1, most: int = 10) -> None:
        check_counts("TransducerBeam", beam=beam, nbest=nbest, most=most)
        self.net, self.beam, self.nbest, self.most = net, beam, nbest, most

    def __call__(self, encoded: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list:
        """For each sample its transcripts, the best first; for encoded (T, D) of one sample those alone.

        Args:
            encoded: (T, B, D) or (T, D), of the net that reads the frames.
            lengths: (B,) how many frames each sample has; None is T.

        Raises TypeError, ValueError for what does not fit, and for scores that are not finite.
        """
        return recognised("TransducerBeam", self.stream, encoded, lengths)

    def stream(self) -> TransducerStream:
        """A recogniser that is fed some frames at a time."""
        return TransducerStream(_Beam(self))


class TransducerGreedy:
    """Takes the most probable step each time: writes labels, up to `most` at a frame, until the blank is the best.

    Raises ValueError for `most` below 1.

    >>> import carousel as ca
    >>> joint = ca.TransducerJoint(encoded_size=6, predicted_size=5, hidden_size=8, labels=4)
    >>> net = ca.Transducer(torch.nn.Embedding(4, 3), ca.GRU(3, 5), joint).eval()
    >>> found = TransducerGreedy(net)(torch.randn(7, 2, 6), lengths=[7, 3])
    >>> len(found), len(found[0])
    (2, 1)
    """

    def __init__(self, net: Transducer, most: int = 10) -> None:
        check_counts("TransducerGreedy", most=most)
        self.net, self.most = net, most

    def __call__(self, encoded: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list:
        """For each sample a list of one `Hypothesis`, with the log-probability of the way taken.

        For encoded (T, D) of one sample that list alone. Arguments and errors as for `TransducerBeam`.
        """
        return recognised("TransducerGreedy", self.stream, encoded, lengths)

    def stream(self) -> TransducerStream:
        """A recogniser that is fed some frames at a time."""
        return TransducerStream(_Greedy(self))


class TransducerStream:
    """Recognises one sample while its frames come in."""

    def __init__(self, search: _Beam | _Greedy) -> None:
        self._search = search

    def feed(self, encoded: Tensor) -> Partial:
        """The next frames (T, D). Stable are the labels that everything that is kept begins with.

        Raises ValueError for another shape, and for scores that are not finite.
        """
        if encoded.dim() != 2:
            raise ValueError(f"TransducerStream: encoded has shape {tuple(encoded.shape)}, expected (T, D).")
        with torch.no_grad():
            for frame in encoded:
                self._search.step(frame)
        every = [found.labels for found in self._search.found()]
        best = self._search.found()[0]
        stable = next(n for n in range(len(best.labels), -1, -1) if all(one[:n] == best.labels[:n] for one in every))
        return Partial(best.labels, best.times, stable)

    def finish(self) -> list[Hypothesis]:
        """The transcripts, the best first; the stream begins anew."""
        found = self._search.found()[: self._search.nbest]
        self._search.begin()
        return [Hypothesis(one.labels, one.log_prob, one.log_prob, one.times) for one in found]


class _Beam:
    def __init__(self, search: TransducerBeam) -> None:
        self.net, self.beam, self.nbest, self.most = search.net, search.beam, search.nbest, search.most
        self.begin()

    def begin(self) -> None:
        with torch.no_grad():
            self.written: dict[Labels, Written] = {(): self.net.start()}
        self.kept: dict[Labels, Found] = {(): Found((), 0.0, ())}
        self.frame = 0

    def found(self) -> list[Found]:
        return list(self.kept.values())

    def step(self, frame: Tensor) -> None:
        growing, done = self.found(), dict[Labels, Found]()
        for count in range(self.most + 1):
            outputs = torch.cat([self.written[one.labels].output for one in growing])
            log_probs = _log_probs(self.net, frame, outputs, self.frame)
            for one, blank in zip(growing, log_probs[:, self.net.blank].tolist(), strict=True):
                _add(done, Found(one.labels, one.log_prob + blank, one.times))
            growing = self._grown(growing, log_probs, done) if count < self.most else []
            if not growing:
                break
            self._write([one.labels for one in growing])
        best = sorted(done.values(), key=lambda one: -one.log_prob)[: self.beam]
        self.kept = {one.labels: one for one in best}
        self.written = {labels: self.written[labels] for labels in self.kept}
        self.frame += 1

    def _grown(self, growing: list[Found], log_probs: Tensor, done: dict[Labels, Found]) -> list[Found]:
        """The best of those with one label more, as far as they may still come into the beam."""
        scores = log_probs.double() + torch.tensor([[one.log_prob] for one in growing], dtype=torch.float64)
        scores[:, self.net.blank] = -torch.inf
        values, places = scores.flatten().topk(min(self.beam, scores.numel()))
        least = sorted(one.log_prob for one in done.values())[-self.beam] if len(done) >= self.beam else -torch.inf
        found = []
        for value, place in zip(values.tolist(), places.tolist(), strict=True):
            one, label = growing[place // scores.shape[1]], place % scores.shape[1]
            if value > least:
                found.append(Found((*one.labels, label), value, (*one.times, self.frame)))
        return found

    def _write(self, transcripts: list[Labels]) -> None:
        """The prediction net's word on transcripts whose beginnings it has read."""
        new = [labels for labels in transcripts if labels not in self.written]
        if new:
            states = joined([self.written[labels[:-1]].state for labels in new])
            written = self.net.write(torch.tensor([labels[-1] for labels in new]), states)
            for n, labels in enumerate(new):
                self.written[labels] = Written(written.output[n : n + 1], row(written.state, n))


class _Greedy:
    nbest = 1

    def __init__(self, search: TransducerGreedy) -> None:
        self.net, self.most = search.net, search.most
        self.begin()

    def begin(self) -> None:
        with torch.no_grad():
            self.written = self.net.start()
        self.best, self.frame = Found((), 0.0, ()), 0

    def found(self) -> list[Found]:
        return [self.best]

    def step(self, frame: Tensor) -> None:
        for count in range(self.most + 1):
            log_probs = _log_probs(self.net, frame, self.written.output, self.frame)[0]
            label = self.net.blank if count == self.most else int(log_probs.argmax())
            labels, log_prob, times = self.best
            log_prob += float(log_probs[label])
            if label == self.net.blank:
                self.best = Found(labels, log_prob, times)
                break
            self.best = Found((*labels, label), log_prob, (*times, self.frame))
            self.written = self.net.write(torch.tensor([label]), self.written.state)
        self.frame += 1


def recognised(
    name: str, stream: Callable[[], TransducerStream], encoded: Tensor, lengths: Tensor | Sequence[int] | None
) -> list:
    """Every sample of encoded (T, B, D) by itself, or one alone."""
    if isinstance(encoded, Tensor) and encoded.dim() == 2:
        return recognised(name, stream, encoded.unsqueeze(1), lengths)[0]
    check_encoded(name, encoded)
    T, B, _ = encoded.shape
    read = read_lengths(name, lengths, T, B)
    found = []
    for b, length in enumerate([T] * B if read is None else read.tolist()):
        own = stream()
        own.feed(encoded[:length, b])
        found.append(own.finish())
    return found


def check_counts(name: str, **counts: int) -> None:
    for what, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {what} is {value!r}, expected a whole number from 1.")


def _log_probs(net: Transducer, frame: Tensor, outputs: Tensor, number: int) -> Tensor:
    """(N, K) on the CPU, of one frame (D,) with N outputs of the prediction net."""
    log_probs = net.joint(frame, outputs).log_softmax(-1).cpu()
    if not bool(log_probs.isfinite().all()):
        raise_fault("Transducer", {0: f"has scores that are not finite at frame {number}"})
    return log_probs


def _add(done: dict[Labels, Found], one: Found) -> None:
    known = done.get(one.labels)
    if known:
        times = known.times if known.log_prob >= one.log_prob else one.times
        one = Found(one.labels, log_add(known.log_prob, one.log_prob), times)
    done[one.labels] = one
