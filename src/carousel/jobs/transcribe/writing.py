"""What a fitted model writes of samples, and its score."""

from __future__ import annotations

from carousel.jobs import JobError
from carousel.jobs.transcribe.decoding import Decoding
from carousel.jobs.transcribe.evaluation import Evaluation, evaluate
from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.samples import Sample


def write(fitted: Fitted, samples: list[Sample], batch_size: int, decoding: Decoding) -> list[str]:
    """The text of each sample."""
    decoder, found = fitted.decoder(decoding), []
    for sample, read in zip(samples, fitted.outputs([one.frames for one in samples], batch_size), strict=True):
        try:
            found.append(fitted.alphabet.text(decoder(read)[0].labels))
        except RuntimeError as error:  # a prefix search that grows too large
            raise JobError(f"{sample.item.path}: {error}") from None
    return found


def score(fitted: Fitted, samples: list[Sample], batch_size: int, decoding: Decoding) -> Evaluation:
    """What the model writes of samples, against their transcripts."""
    written = write(fitted, samples, batch_size, decoding)
    return evaluate([str(one.item.path) for one in samples], [one.text for one in samples], written)
