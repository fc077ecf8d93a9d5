"""Labelling unsegmented sequences: losses, alignment, recognition, language models, error rate."""

from carousel.labelling.align import Alignment, ctc_align
from carousel.labelling.best_path import BestPath
from carousel.labelling.ctc import CTCLoss, ctc_loss
from carousel.labelling.error_rate import ErrorRate, label_error_rate
from carousel.labelling.hypothesis import Hypothesis, Partial

__all__ = [
    "Alignment",
    "BestPath",
    "CTCLoss",
    "ErrorRate",
    "Hypothesis",
    "Partial",
    "ctc_align",
    "ctc_loss",
    "label_error_rate",
]
