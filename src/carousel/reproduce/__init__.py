"""Experiments of the papers: their protocols, run by the stored code, beside the figures that they printed.

`experiment` says what one is, `running` runs its trials and keeps what is finished, `record` is the file of results,
`table`, `plot` and `page` show them. Each experiment is a file of `papers/` and a line in
the registry below; `online/` runs trials as nets side by side, `data/` reads the data sets.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module

from carousel.jobs import JobError
from carousel.reproduce.experiment import (
    AS_PUBLISHED,
    CHANGED,
    DERIVED,
    REMEMBERED,
    TODAY,
    VERIFIED,
    Axes,
    Experiment,
    Figure,
    Measure,
    Quick,
    Setting,
    Trial,
    Work,
)

# Experiments by name, and the file of papers/ that holds each, as a variable of that name.
EXPERIMENTS: dict[str, str] = {
    "embedded_reber": "embedded_reber",
    "long_lag_2a": "long_lag_2a",
    "long_lag_2b": "long_lag_2a",
    "long_lag_2c": "long_lag_2c",
    "two_sequence": "two_sequence",
    "adding": "adding",
    "multiplication": "adding",
    "temporal_order": "temporal_order",
    "anbn": "counting",
    "anbncn": "counting",
    "continual_reber": "continual_reber",
    "periodic_functions": "periodic_functions",
    "timed_spikes": "timed_spikes",
    "adding_600": "adding_600",
    "copy_memory": "copy_memory",
    "sequential_mnist": "pixel_mnist",
    "permuted_mnist": "pixel_mnist",
    "jsb_chorales": "polyphonic_music",
    "piano_midi": "polyphonic_music",
    "penn_treebank": "penn_treebank",
    "lstm_fcn": "lstm_fcn",
    "time_aware": "time_aware",
    "odyssey": "odyssey",
    "odyssey_digits": "odyssey_digits",
    "spoken_digits": "spoken_digits",
    "printed_lines": "printed_lines",
    "learning_quadratics": "learning_quadratics",
    "modular_arithmetic": "formal",
    "multi_query_recall": "multi_query_recall",
    "parity": "formal",
}


def names() -> tuple[str, ...]:
    """The names of the experiments."""
    return tuple(EXPERIMENTS)


def get(name: str) -> Experiment:
    """The experiment of that name. Raises JobError, naming the closest, where there is none."""
    if name not in EXPERIMENTS:
        close = difflib.get_close_matches(name, EXPERIMENTS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise JobError(f"there is no experiment {name!r}.{hint} carousel reproduce lists them.")
    return getattr(import_module(f"carousel.reproduce.papers.{EXPERIMENTS[name]}"), name)


def experiments() -> Iterator[Experiment]:
    """All experiments, in the registry's order."""
    return map(get, EXPERIMENTS)


__all__ = [
    "AS_PUBLISHED",
    "CHANGED",
    "DERIVED",
    "REMEMBERED",
    "TODAY",
    "VERIFIED",
    "Axes",
    "Experiment",
    "Figure",
    "Measure",
    "Quick",
    "Setting",
    "Trial",
    "Work",
    "experiments",
    "get",
    "names",
]
