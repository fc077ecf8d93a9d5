"""Transcribing: from recordings or line images to text.

The way through: ``reading`` (files and transcripts) -> ``sound``, ``image`` (features) -> ``inputs`` (scale, stacking)
-> ``samples`` (read, refuse, divide) -> ``prepare`` -> ``model`` with its ``head`` (``ctc``, ``transduction``),
``augment`` -> ``fitting``, ``language`` -> ``fitted`` -> ``decoding``, ``writing``, ``evaluation``, ``alignment``,
``streaming``. ``transcriber`` is the door.
"""

from carousel.jobs.transcribe.decoding import Decoding
from carousel.jobs.transcribe.transcriber import Transcriber

__all__ = ["Decoding", "Transcriber"]
