"""A language model of characters, learned from transcripts or from a text file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet
from carousel.jobs.transcribe.reading import clean
from carousel.labelling import LabelModel
from carousel.layers import LSTM

EMBEDDING, HIDDEN, DROPOUT = 32, 128, 0.2
EPOCHS, PATIENCE, BATCH, RATE = 60, 3, 16, 3e-3
TRANSCRIPTS = "transcripts"


def make_language_model(alphabet: Alphabet) -> LabelModel:
    """An LSTM of characters with fresh weights."""
    labels = len(alphabet.strings)
    return LabelModel(nn.Embedding(labels, EMBEDDING), LSTM(EMBEDDING, HIDDEN), nn.Linear(HIDDEN, labels))


def read_texts(name: str, transcripts: list[str], alphabet: Alphabet) -> list[str]:
    """What the model learns from: the transcripts, or the lines of a text file, cut where it cannot write a character.

    Raises:
        JobError: the file is missing, no text, or has nothing that the model can write.
    """
    if name == TRANSCRIPTS:
        return transcripts
    path = Path(name)
    if path.name.endswith((".arpa", ".arpa.gz")):
        raise JobError(f"{path}: an ARPA file needs no training; give it to predict and evaluate with --decoder beam.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: not readable as UTF-8 text ({error}).") from None
    unknown = f"[^{re.escape(alphabet.characters)}]+"
    parts = [part.strip() for line in lines for part in re.split(unknown, clean(line))]
    texts = [part for part in parts if part]
    if not texts:
        raise JobError(f"{path}: holds no character that the recordings' transcripts have.")
    return texts


def train_language_model(
    texts: list[str], alphabet: Alphabet, seed: int, folder: Path | None, resume: bool, console: Console | None
) -> tuple[LabelModel, dict[str, Any]]:
    """Train on nine tenths of the texts, stop early by the last, and say what happened."""
    from carousel import train

    torch.manual_seed(seed)
    model = make_language_model(alphabet)
    rows = [alphabet.labels(text) for text in dict.fromkeys(texts)]
    mixed = torch.randperm(len(rows)).tolist()
    held = max(1, len(rows) // 10)
    exams, lessons = [rows[k] for k in mixed[:held]], [rows[k] for k in mixed[held:]] or [rows[k] for k in mixed]
    order = train.Buckets([len(row) for row in lessons], BATCH, seed)
    lesson = train.Lesson(model, _loss, torch.optim.AdamW(model.parameters(), lr=RATE), clip=train.ClipNorm(1.0))
    happened = train.fit(
        lesson,
        train.Batches(lessons, order, list),
        train.Batches(exams, train.Order(len(exams), BATCH), list),
        epochs=EPOCHS,
        stop=train.Patience(PATIENCE),
        folder=None if folder is None else folder / "checkpoints" / "language",
        resume=resume,
        progress=train.Progress(console, "language model"),
    )
    return model.eval(), {
        "texts": len(rows),
        "characters": sum(map(len, rows)),
        "epochs": len(happened.history) - 1,
        "validation_loss": happened.best["validation_loss"],
    }


def _loss(model: Any, rows: list[Tensor]) -> tuple[Tensor, int]:
    """Nats of all characters and ends together, and how many there are."""
    count = sum(len(row) + 1 for row in rows)
    return model.loss(rows) * count, count
