"""The network: recurrent layers of any cell, and behind them a head that is trained by transcripts."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel.jobs.transcribe.ctc import CTC
from carousel.jobs.transcribe.head import Head
from carousel.jobs.transcribe.transduction import Transduction
from carousel.labelling import label_error_rate
from carousel.layers import Recurrent

MODELS: dict[str, type[CTC] | type[Transduction]] = {"ctc": CTC, "transducer": Transduction}


class Batch(NamedTuple):
    """Inputs (T, B, D), how many steps each has (B,), and the labels (S,) of each."""

    x: Tensor
    lengths: Tensor
    labels: list[Tensor]


class Network(nn.Module):
    """From a batch of inputs to what the head reads: of CTC scores (T, B, K), of which label 0 is the blank.

    ``model`` names the head. ``noise`` is the deviation of Gaussian noise that is added to the inputs in training.

    >>> from carousel import cells
    >>> sizes = {"hidden_size": 5, "layers": 1, "bidirectional": True}
    >>> network = Network(cells.gru, 6, 4, model="ctc", **sizes, dropout=0.0, noise=0.0)
    >>> network(torch.randn(9, 2, 6), torch.tensor([9, 7])).shape
    torch.Size([9, 2, 4])
    """

    def __init__(
        self,
        cell: Any,
        input_size: int,
        labels: int,
        *,
        model: str,
        hidden_size: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
        noise: float,
        cell_sizes: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.noise = noise
        self.layers = Recurrent(
            cell,
            input_size,
            hidden_size,
            layers,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
            **(cell_sizes or {}),
        )
        width = cell.output_width(**self.layers.sizes) * (2 if bidirectional else 1)
        self.head: Head = MODELS[model](width, labels, dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What the head's loss, decoders and alignment read, (T, B, R)."""
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        y, _ = self.layers(x, lengths=lengths)
        return self.head(y)


def loss(network: Network, batch: Batch) -> tuple[Tensor, int]:
    """The loss in nats of all transcripts together, and how many labels they have."""
    read = network(batch.x, batch.lengths)
    return network.head.loss(read, batch.labels, batch.lengths), sum(map(len, batch.labels))


def errors(network: Network, batch: Batch) -> dict[str, tuple[Tensor, int]]:
    """The label errors of the best path, the loss, and over how many labels."""
    read, count = network(batch.x, batch.lengths), sum(map(len, batch.labels))
    found = [best[0].labels for best in network.head.best_path()(read, batch.lengths)]
    wrong = label_error_rate(found, [labels.tolist() for labels in batch.labels]).errors.sum()
    nats = network.head.loss(read, batch.labels, batch.lengths)
    return {"label_error_rate": (torch.tensor(float(wrong)), count), "loss": (nats, count)}


def collate(rows: list[tuple[Tensor, Tensor]]) -> Batch:
    """A batch of inputs (T, D) with their labels (S,)."""
    xs, labels = zip(*rows, strict=True)
    return Batch(pad_sequence(list(xs)), torch.tensor([len(x) for x in xs]), list(labels))
