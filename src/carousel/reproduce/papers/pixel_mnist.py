"""Digits read pixel by pixel: in the order of rows, and in one random order for all.

Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
2018, arXiv:1803.01271, Table 1: 784 steps of one number, the class after the last one, nets of about 70,000 weights.
Arjovsky, Shah & Bengio, "Unitary evolution recurrent neural networks", ICML 2016, arXiv:1511.06464, whose LSTM has 128
units and RMSprop; figures and protocol as remembered.

Each trial draws its own permutation. The first 55,000 images train, the next 5,000 choose the epoch whose weights are
kept, which neither paper says that it does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.reproduce.data.mnist import FILES, images, labels
from carousel.reproduce.experiment import (
    AS_PUBLISHED,
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
from carousel.reproduce.training import Reader, Rows, batches, chrono_, curve, train, weights

STEPS, CLASSES, HELD = 784, 10, 5_000


def run(
    work: Work,
    *,
    permuted: bool,
    count: int,
    hidden_size: int,
    start: str,
    optimizer: str,
    learning_rate: float,
    batch_size: int,
    epochs: int,
) -> list[Trial]:
    """One trial: the accuracy on the test set of the weights that did best on the held-out images."""
    from carousel.train import ClipNorm, Lesson

    order = torch.arange(STEPS)
    if permuted:
        order = torch.randperm(STEPS, generator=torch.Generator().manual_seed(work.seed))
    pixels, digits = images(work.file(FILES[0])), labels(work.file(FILES[1]))
    training, held = Rows(pixels[:count], digits[:count]), Rows(pixels[-HELD:], digits[-HELD:])
    model = Reader("lstm", 1, hidden_size, CLASSES, last=True)
    if start == "chrono":
        chrono_(model.layer, STEPS)

    def loss(model: Reader, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
        return F.cross_entropy(model(sequences(batch[0], order)), batch[1], reduction="sum"), len(batch[1])

    def wrong(model: Reader, batch: tuple[Tensor, Tensor]) -> dict[str, tuple[Tensor, int]]:
        missed = model(sequences(batch[0], order)).argmax(1) != batch[1]
        return {"error": (missed.sum().float(), len(missed))}

    made: Any = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[optimizer]
    lesson = Lesson(model, loss, made(model.parameters(), lr=learning_rate), score=wrong, clip=ClipNorm(1.0))
    seen = train(work, lesson, batches(training, batch_size, work.seed), batches(held, 500), epochs=epochs).history
    test = Rows(images(work.file(FILES[2])), labels(work.file(FILES[3])))
    return [
        {
            "test accuracy": 1 - error(model, test, order),
            "weights": weights(model),
            "held-out error by update": curve(seen, "validation_error"),
        }
    ]


def sequences(pixels: Tensor, order: Tensor) -> Tensor:
    """(T, B, 1) from 0 to 1, of images (B, T) in bytes."""
    return pixels[:, order].T[..., None].float() / 255


def error(model: Reader, rows: Rows, order: Tensor) -> float:
    """The share of images that are taken for another digit."""
    model.eval()
    with torch.no_grad():
        missed = [
            (model(sequences(pixels, order)).argmax(1) != digits).sum().item() for pixels, digits in batches(rows, 500)
        ]
    return sum(missed) / len(rows)


BAI = {
    "count": 55_000, "hidden_size": 130, "start": "forget bias 1", "optimizer": "adam", "learning_rate": 2e-3,
    "batch_size": 64, "epochs": 20,
}  # fmt: skip
ARJOVSKY = {**BAI, "hidden_size": 128, "optimizer": "rmsprop", "learning_rate": 1e-3, "epochs": 100}
CHRONO = {**BAI, "start": "chrono"}
QUICK = {"count": 20_000, "epochs": 5, "batch_size": 32}


def _settings(permuted: bool, bai: float, arjovsky: float) -> tuple[Setting, ...]:
    def one(name: str, title: str, options: dict[str, Any], kind: str, figure: Figure) -> Setting:
        return Setting(name, title, {"permuted": permuted, **options}, kind, {"test accuracy": figure}, quick=QUICK)

    return (
        one("lstm", "Bai et al.: LSTM of 130 units, Adam", BAI, AS_PUBLISHED, Figure(bai, VERIFIED)),
        one("lstm_128", "Arjovsky et al.: LSTM of 128 units, RMSprop", ARJOVSKY, AS_PUBLISHED,
            Figure(arjovsky, REMEMBERED)),
        one("lstm_chrono", "Bai et al.'s with biases for 784 steps", CHRONO, TODAY, Figure(bai, VERIFIED)),
    )  # fmt: skip


def _experiment(name: str, title: str, settings: tuple[Setting, ...]) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        citation="Bai, Kolter & Koltun, 2018, arXiv:1803.01271, Table 1; Arjovsky et al., 2016, arXiv:1511.06464.",
        run=run,
        measures=(Measure("test accuracy", "higher", "share"),),
        settings=settings,
        trials=1,
        quick=Quick(
            1,
            "55,000 training images to 20,000, 20 (100) epochs to 5, and batches of 64 to 32",
            settings=("lstm", "lstm_chrono"),
        ),
        curves={"held-out error by update": Axes("update", "held-out error")},
        needs=FILES,
    )


sequential_mnist = _experiment("sequential_mnist", "MNIST, pixel by pixel", _settings(False, 0.872, 0.982))
permuted_mnist = _experiment("permuted_mnist", "MNIST, pixels in a random order", _settings(True, 0.857, 0.880))
