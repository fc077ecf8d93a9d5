"""Ways of training: back-propagation through time on Lightning.

A `Lesson` is a model, its loss and its optimizer; a source gives it batches (`Batches`), the chunks of a stream
(`Chunks`, `Lanes`) or what a function makes (`Generated`); `fit` trains, examines, stops, and resumes to the same bits.
`LearningToLearn` makes sequences of a family of functions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carousel.train.batches import Batches
    from carousel.train.checkpoints import SafeIO
    from carousel.train.chunks import Chunk, Chunks
    from carousel.train.clipping import ClipNorm, ClipValue
    from carousel.train.errors import TrainingError
    from carousel.train.fitting import Outcome, fit, loggers
    from carousel.train.keeper import Keeper, Patience
    from carousel.train.lanes import Lanes
    from carousel.train.learning_to_learn import Examples, LearningToLearn, examples_until
    from carousel.train.lesson import Lesson
    from carousel.train.order import Buckets, Order, Shuffle
    from carousel.train.progress import Progress
    from carousel.train.rounds import Rounds
    from carousel.train.source import Generated, Source
    from carousel.train.truncation import Truncated

# What brings Lightning waits until it is asked for.
_PLACES = {
    "batches": ("Batches",),
    "checkpoints": ("SafeIO",),
    "chunks": ("Chunk", "Chunks"),
    "clipping": ("ClipNorm", "ClipValue"),
    "errors": ("TrainingError",),
    "fitting": ("Outcome", "fit", "loggers"),
    "keeper": ("Keeper", "Patience"),
    "lanes": ("Lanes",),
    "learning_to_learn": ("Examples", "LearningToLearn", "examples_until"),
    "lesson": ("Lesson",),
    "order": ("Buckets", "Order", "Shuffle"),
    "progress": ("Progress",),
    "rounds": ("Rounds",),
    "source": ("Generated", "Source"),
    "truncation": ("Truncated",),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Batches", "Buckets", "Chunk", "Chunks", "ClipNorm", "ClipValue", "Examples", "examples_until", "fit", "Generated",
    "Keeper", "Lanes", "LearningToLearn", "Lesson", "loggers", "Order", "Outcome", "Patience", "Progress", "Rounds",
    "SafeIO", "Shuffle", "Source", "TrainingError", "Truncated",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"carousel.train.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
