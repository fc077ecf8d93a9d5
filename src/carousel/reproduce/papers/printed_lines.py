"""Printed text lines: connectionist temporal classification by `carousel transcribe`.

Breuel, Ul-Hasan, Al-Azawi & Shafait, "High-performance OCR for printed English and Fraktur using LSTM networks",
ICDAR 2013, doi:10.1109/ICDAR.2013.140: lines scaled and straightened by their ink, a bidirectional layer of 100 units
on columns of 32 pixels (as remembered). They train on the whole of UW3; here are 500 lines of it from 410 pages, of
which a tenth of the pages validates and a tenth tests, drawn by the trial's seed. One image, a line that stands
upright, cannot be read from left to right and is left out.
"""

from __future__ import annotations

from typing import Any

from carousel.reproduce.data.lines import unpack
from carousel.reproduce.experiment import (
    REMEMBERED,
    TODAY,
    Axes,
    Experiment,
    Figure,
    Measure,
    Quick,
    Setting,
    Trial,
    Work,
)
from carousel.reproduce.papers.spoken_digits import transcribed

FILE = "uw3_500_lines/uw3-500.tgz"


def run(work: Work, **settings: Any) -> list[Trial]:
    """One trial: label error rate of the lines of pages held out."""
    from carousel.jobs.transcribe import Transcriber

    table = unpack(work.file(FILE), work.folder / "lines")
    return [transcribed(work, Transcriber(seed=work.seed, **settings), table, skip_faulty=True)]


OPTIONS = {
    "cell": "lstm", "hidden_size": 100, "layers": 1, "bidirectional": True, "dropout": 0.3, "height": 32, "stack": 2,
    "warp": 0.05, "batch_size": 8, "learning_rate": 4e-3, "epochs": 80, "patience": 15,
}  # fmt: skip
FEWER_LINES = (
    "The printed figure is of a net that learned from the whole of UW3 (some 95,000 lines, as remembered); ours "
    "learned from 400 lines, in which several characters occur once or never."
)

printed_lines = Experiment(
    name="printed_lines",
    title="Printed English lines, by CTC",
    citation="Breuel et al., ICDAR 2013, doi:10.1109/ICDAR.2013.140.",
    run=run,
    measures=(Measure("label error rate", "lower", "share"), Measure("word error rate", "lower", "share")),
    settings=(
        Setting(
            "blstm_100",
            "bidirectional LSTM of 100 units, 400 lines",
            OPTIONS,
            TODAY,
            {"label error rate": Figure(0.006, REMEMBERED, "trained on the whole of UW3")},
            quick={"epochs": 25},
            explanation=FEWER_LINES,
        ),
    ),
    trials=3,
    quick=Quick(1, "3 trials to 1, and 80 epochs to 25"),
    curves={"validation by epoch": Axes("epoch", "validation label error rate", logarithmic="y")},
    needs=(FILE,),
)
