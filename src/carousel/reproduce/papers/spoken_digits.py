"""Spoken digit strings: connectionist temporal classification, and a transducer, by `carousel transcribe`.

The recordings of four speakers of the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset),
joined into strings of 1 to 7 digits by one speaker each. Of each speaker takes 0 to 4 of every digit are the usual
test set; of the others 5 to 9 make the validation strings and 10 to 49 the training strings. Either the test strings
are of the four speakers that training heard, or training hears three and the test strings are of the fourth, from all
recordings of him. There is no canonical figure; Graves et al. (2006), who joined nothing, report 30.5 % of phonemes
wrong on TIMIT. The transducer is that of Graves, Mohamed & Hinton (2013), with the same layers below it. Digits are
drawn by chance: there is nothing to be learned about which one follows which.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from carousel.reproduce.data.digits import FILE, RATE, Recording, read
from carousel.reproduce.experiment import TODAY, Axes, Experiment, Measure, Quick, Setting, Trial, Work
from carousel.reproduce.training import bar

SPEAKERS = ("george", "jackson", "lucas", "nicolas")
TEST, VALIDATION = range(0, 5), range(5, 10)  # takes


def pools(recordings: list[Recording], held_out: str) -> dict[str, list[list[Recording]]]:
    """The recordings of each part, a list for each speaker who is heard in it; ``held_out`` is one, or empty.

    >>> import torch
    >>> some = [Recording(torch.zeros(0), 1, speaker, take) for speaker in ("ann", "bob") for take in range(20)]
    >>> found = pools(some, "ann")
    >>> {part: [len(of) for of in speakers] for part, speakers in found.items()}
    {'training': [10], 'validation': [5], 'test': [20]}
    """
    speakers = sorted({one.speaker for one in recordings})
    of = {speaker: [one for one in recordings if one.speaker == speaker] for speaker in speakers}
    heard = [of[speaker] for speaker in speakers if speaker != held_out]
    taught = [[one for one in some if one.take not in (*TEST, *VALIDATION)] for some in heard]
    checked = [[one for one in some if one.take in VALIDATION] for some in heard]
    tested = [of[held_out]] if held_out else [[one for one in some if one.take in TEST] for some in heard]
    return {"training": taught, "validation": checked, "test": tested}


def write_strings(
    folder: Path, pool: Sequence[Recording], count: int, most: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Join recordings of the pool into strings of 1 to ``most`` digits, write each as a file, and give path and text.

    The lengths are drawn equally often, and the recordings with replacement; they follow one another with no pause.
    """
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        chosen = rng.choices(pool, k=rng.randint(1, most))
        path = folder / f"{number:05}.wav"
        soundfile.write(path, torch.cat([one.samples for one in chosen]).numpy(), RATE, subtype="PCM_16")
        rows.append((str(path), "".join(str(one.digit) for one in chosen)))
    return rows


def write(work: Work, held_out: str, counts: dict[str, int], most: int) -> Any:
    """Strings of all parts as files, and the table of them."""
    import pandas as pd

    rng, rows = random.Random(work.seed), []
    for part, speakers in pools(read(work.file(FILE)), held_out).items():
        for number, pool in enumerate(speakers):
            folder = work.folder / "strings" / f"{part}-{number}"
            made = write_strings(folder, pool, counts[part] // len(speakers), most, rng)
            rows += [(path, text, part) for path, text in made]
    return pd.DataFrame(rows, columns=["path", "text", "split"])


def run(work: Work, *, held_out: str, strings: int, most: int, **settings: Any) -> list[Trial]:
    """One trial: label error rate of the test strings."""
    from carousel.jobs.transcribe import Transcriber

    counts = {"training": strings, "validation": strings // 5, "test": strings // 3}
    return [transcribed(work, Transcriber(seed=work.seed, **settings), write(work, held_out, counts, most))]


def transcribed(work: Work, transcriber: Any, data: Any, skip_faulty: bool = False) -> Trial:
    """Fit, or go on with a fit that was cut off, and what came out."""
    model = work.folder / "model"
    begun = (model / "checkpoints" / "last.ckpt").exists()
    if model.exists() and not begun:
        shutil.rmtree(model)
    transcriber.fit(data, output=model, resume=begun, skip_faulty=skip_faulty, progress=bar(work))
    found, training = transcriber.evaluation, transcriber.fitted.training
    return {
        "label error rate": found.characters.rate,
        "items wrong": found.faulty / found.items,
        "word error rate": found.words.rate,
        "epochs": training["epochs"],
        "weights": sum(p.numel() for p in transcriber.fitted.network.parameters()),
        "validation by epoch": list(enumerate(training["history"])),
    }


NET = {
    "cell": "lstm", "hidden_size": 64, "layers": 2, "bidirectional": True, "dropout": 0.3, "scale": "own", "stack": 3,
    "noise": 0.3, "warp": 0.3, "batch_size": 16, "learning_rate": 3e-3, "epochs": 40, "patience": 10,
}  # fmt: skip
OPTIONS = {"held_out": "", "strings": 1200, "most": 7, **NET}
FEWER = {"strings": 900, "epochs": 12}

spoken_digits = Experiment(
    name="spoken_digits",
    title="Strings of 1 to 7 spoken digits, by CTC and by a transducer",
    citation="Graves et al., ICML 2006, doi:10.1145/1143844.1143891; Graves, Mohamed & Hinton, ICASSP 2013, "
    "arXiv:1303.5778; Free Spoken Digit Dataset.",
    run=run,
    measures=(Measure("label error rate", "lower", "share"), Measure("items wrong", "lower", "share")),
    settings=(
        Setting("heard", "speakers that training heard", OPTIONS, TODAY, quick=FEWER),
        Setting(
            "transducer",
            "speakers that training heard, by a transducer",
            {**OPTIONS, "model": "transducer"},
            TODAY,
            quick={**FEWER, "epochs": 24},
        ),
        *(
            Setting(name, f"{name}, whom training did not hear", {**OPTIONS, "held_out": name}, TODAY, quick=FEWER)
            for name in SPEAKERS
        ),
    ),
    trials=3,
    quick=Quick(1, "3 trials to 1, 1,200 strings to 900, and 40 epochs to 12 (of the transducer, 24)"),
    curves={"validation by epoch": Axes("epoch", "validation label error rate", logarithmic="y")},
    needs=(FILE,),
)
