"""Trainings that processes share: run as a program under torchrun, it writes what two of them come to.

Called in one process, the same functions give what one comes to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel import train
from training_runs import K, Predictor, loss, text

Item = tuple[Tensor, Tensor]


def sequences() -> list[Item]:
    """22 sequences of 3 to 40 symbols, so that batches of 4 leave two over."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(3, 41, (22,), generator=generator).tolist()
    return [tuple(torch.randint(K, (2, n), generator=generator)) for n in lengths]


def pad(items: list[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """x (T, B), target (T, B), lengths (B,)."""
    xs, targets = zip(*items, strict=True)
    return pad_sequence(xs), pad_sequence(targets, padding_value=-1), torch.tensor([len(x) for x in xs])


def ragged_loss(model: Any, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The sum over all steps that are there, and how many these are."""
    x, target, lengths = batch
    one = nn.functional.one_hot(x, K).to(model.head.weight)
    y, _ = model.layer(one, lengths=lengths)
    scores = model.head(y).flatten(0, 1)
    return nn.functional.cross_entropy(scores, target.flatten(), ignore_index=-1, reduction="sum"), lengths.sum()


class Recorder:
    """In the place of clipping: keeps the gradients of every update."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, parameters: list[nn.Parameter]) -> None:
        self.seen.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))


def training(name: str, folder: Path | None = None, epochs: int = 2, resume: bool = False) -> dict[str, Tensor]:
    """Gradients of all updates, weights and scores of a training of ragged batches, or of a stream."""
    torch.manual_seed(0)
    model, recorder = Predictor("lstm").double(), Recorder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    source: train.Source
    if name == "ragged":
        items = sequences()
        lesson = train.Lesson(model, ragged_loss, optimizer, clip=recorder)
        source = train.Batches(items, train.Buckets([len(x) for x, _ in items], 4, seed=0, pool=2), pad)
    else:
        lesson = train.Lesson(model, loss, optimizer, clip=recorder, truncation=train.Truncated(2))
        source = train.Chunks(*text(), batch_size=5, steps=15)
    settings: dict[str, Any] = {"strategy": "ddp", "devices": 2} if "LOCAL_RANK" in os.environ else {}
    outcome = train.fit(lesson, source, source, epochs=epochs, folder=folder, resume=resume, **settings)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    scores = torch.tensor(
        [row[key] for row in outcome.history for key in ("validation_loss", "train_loss") if key in row]
    )
    return {"gradients": torch.stack(recorder.seen), "weights": weights, "scores": scores}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    found = {name: training(name) for name in ("ragged", "stream")}
    training("stream", place / "stream", epochs=1)
    found["resumed"] = training("stream", place / "stream", epochs=2, resume=True)
    if torch.distributed.get_rank() == 0:
        torch.save(found, place / "found.pt")
