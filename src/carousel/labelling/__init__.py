"""Labelling unsegmented sequences: losses, alignment, recognition, language models, error rate."""

from carousel.labelling.align import Alignment, ctc_align
from carousel.labelling.beam_search import BeamSearch
from carousel.labelling.best_path import BestPath
from carousel.labelling.ctc import CTCLoss, ctc_loss
from carousel.labelling.error_rate import ErrorRate, label_error_rate
from carousel.labelling.hypothesis import Hypothesis, Partial
from carousel.labelling.label_model import LabelModel
from carousel.labelling.language_model import LanguageModel
from carousel.labelling.ngram import NGram
from carousel.labelling.prefix_search import PrefixSearch
from carousel.labelling.transducer import Transducer, TransducerAlignment, TransducerJoint
from carousel.labelling.transducer_loss import transducer_loss
from carousel.labelling.transducer_search import TransducerBeam, TransducerGreedy

__all__ = [
    "Alignment",
    "BeamSearch",
    "BestPath",
    "CTCLoss",
    "ErrorRate",
    "Hypothesis",
    "LabelModel",
    "LanguageModel",
    "NGram",
    "Partial",
    "PrefixSearch",
    "Transducer",
    "TransducerAlignment",
    "TransducerBeam",
    "TransducerGreedy",
    "TransducerJoint",
    "ctc_align",
    "ctc_loss",
    "label_error_rate",
    "transducer_loss",
]
