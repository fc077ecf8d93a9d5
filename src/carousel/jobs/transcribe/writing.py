"""What a fitted model writes of samples, and its score."""

from __future__ import annotations

from carousel.jobs.transcribe.evaluation import Evaluation, evaluate
from carousel.jobs.transcribe.fitted import Fitted
from carousel.jobs.transcribe.samples import Sample
from carousel.labelling import BestPath


def write(fitted: Fitted, samples: list[Sample], batch_size: int) -> list[str]:
    """The text of each sample."""
    decoder = BestPath()
    scores = fitted.scores([sample.frames for sample in samples], batch_size)
    return [fitted.alphabet.text(decoder(one)[0].labels) for one in scores]


def score(fitted: Fitted, samples: list[Sample], batch_size: int) -> Evaluation:
    """What the model writes of samples, against their transcripts."""
    written = write(fitted, samples, batch_size)
    return evaluate([str(one.item.path) for one in samples], [one.text for one in samples], written)
