"""Recognition while the recording goes on: samples come in pieces, the text so far is told after each.

What the network is given is what it is given of the whole recording, so the text at the end is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.jobs import JobError
from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.inputs import stacked
from carousel.jobs.transcribe.sound import LogMel
from carousel.layers import Stream


class Heard(NamedTuple):
    """The text so far; of it ``stable`` characters will not change any more."""

    text: str
    stable: int


class Listener:
    """A recogniser of one recording after another, fed with its samples.

    Args:
        fitted: a model of recordings, one-directional.
        decoder: with a stream: best path or beam.

    Raises:
        JobError: the model needs the whole recording before it can begin.
    """

    def __init__(self, fitted: Fitted, decoder: Any):
        check_streams(fitted, decoder)
        self.fitted, self._decoder = fitted, decoder
        self._layers = Stream(fitted.network.layers.eval())
        self._begin()

    def _begin(self) -> None:
        self._samples = torch.zeros(0)
        self._frames = torch.zeros(0, self.fitted.inputs.features.width)
        self._skip = 0  # frames still to come that no step holds
        self._layers.reset()
        self._text = self._decoder.stream()
        self._heard = Heard("", 0)

    def feed(self, samples: Any) -> Heard:
        """The next samples (N,), full scale being 1, at the model's rate."""
        self._hear(torch.as_tensor(samples, dtype=torch.float32))
        inputs = self.fitted.inputs
        ready = (len(self._frames) - inputs.stack) // inputs.stride + 1 if len(self._frames) >= inputs.stack else 0
        if ready:
            self._read(stacked(self._frames, inputs.stack, inputs.stride)[:ready])
            self._drop(ready * inputs.stride)
        return self._heard

    def finish(self) -> str:
        """The text of the whole; what is fed next is another recording."""
        inputs = self.fitted.inputs
        if len(self._frames):
            self._read(stacked(self._frames, inputs.stack, inputs.stride))
        text = self.fitted.alphabet.text(self._text.finish()[0].labels)
        self._begin()
        return text

    def _hear(self, samples: Tensor) -> None:
        """Samples become frames as soon as a window is full."""
        inputs = self.fitted.inputs
        assert isinstance(inputs.features, LogMel)
        self._samples = torch.cat([self._samples, samples])
        frames = inputs.features(self._samples)
        self._samples = self._samples[len(frames) * inputs.features.step :]
        self._frames = torch.cat([self._frames, inputs.scale.apply(frames)])
        self._drop(self._skip)

    def _drop(self, frames: int) -> None:
        self._skip = max(0, frames - len(self._frames))
        self._frames = self._frames[frames:]

    def _read(self, steps: Tensor) -> None:
        with torch.no_grad():
            read = self.fitted.network.head(self._layers.run(steps))
        partial = self._text.feed(read)
        self._heard = Heard(self.fitted.alphabet.text(partial.labels), partial.stable)


def check_streams(fitted: Fitted, decoder: Any) -> None:
    """Raise JobError where the model or the decoder needs the whole recording."""
    inputs, reason = fitted.inputs, ""
    if not isinstance(inputs.features, LogMel):
        reason = "it reads images, which are there as a whole"
    elif fitted.network.layers.bidirectional:
        reason = "it reads both ways; fit with --one-directional"
    elif inputs.scale.kind == "own":
        reason = "it scales each recording by itself as a whole; fit with --scale global"
    elif inputs.deltas:
        reason = "its deltas look ahead; fit with --deltas 0"
    elif not hasattr(decoder, "stream"):
        reason = "prefix search looks at the whole; take --decoder best-path or beam"
    if reason:
        raise JobError(f"the model cannot stream: {reason}.")


def pieces(source: Path | IO[bytes], features: LogMel, seconds: float) -> Iterator[Tensor]:
    """The samples of a file, or of signed 16-bit ones as they come, so many seconds at a time."""
    size = max(1, round(seconds * features.rate))
    if isinstance(source, Path):
        yield from features.read(source).split(size)
        return
    while data := source.read(2 * size):
        yield torch.from_numpy(np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 2**15)


def listen_to(listener: Listener, source: Path | IO[bytes], seconds: float) -> Iterator[tuple[float, str]]:
    """The seconds heard and the text so far whenever it changes, and at the end the whole."""
    features = listener.fitted.inputs.features
    assert isinstance(features, LogMel)
    heard, before = 0, ""
    for samples in pieces(source, features, seconds):
        heard += len(samples)
        text = listener.feed(samples).text
        if text != before:
            yield heard / features.rate, text
            before = text
    yield heard / features.rate, listener.finish()
