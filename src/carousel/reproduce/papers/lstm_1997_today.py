"""The tasks of the 1997 paper learned as one would now: full gradients, mini-batches, Adam, clipping.

`Unrolled` stands where `carousel.Online` does, so that everything else is the experiment's own: its generator, its
criterion, met at a sequence, and its tests. Outputs are a softmax with the cross-entropy for symbols and classes, and
linear with the squared error for numbers. Outputs of a mini-batch, on which criteria look, are those before its update.

Legend: T steps of all sequences in a row; L steps of a batch's longest, B its sequences; D inputs, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from carousel import cells
from carousel.reproduce.experiment import TODAY, Setting
from carousel.reproduce.training import Reader, chrono_
from carousel.train import ClipNorm

BATCH = 20  # sequences of an update; of it all experiments' chunks are multiples


class Unrolled:
    """One net that learns by back-propagation through whole sequences, used as `carousel.Online` is.

    Args:
        cell: "lstm", or "lstm_1997", the paper's blocks of two cells, without forget gates, with all biases.
        hidden_size: how many cells.
        inputs, outputs: widths.
        rate: of Adam.
        longest: biases start for memories of up to so many steps: an LSTM's as in Tallec & Ollivier (2018), the input
            gates' of the 1997 cell at -ln longest, without which its states drift before it has learned.
        symbols: whether inputs are symbols, which are embedded in as many numbers as there are cells.
        classes: whether targets are symbols or classes, and outputs their probabilities.
    """

    def __init__(
        self,
        *,
        cell: str,
        hidden_size: int,
        inputs: int,
        outputs: int,
        rate: float,
        longest: int,
        symbols: bool = False,
        classes: bool = False,
    ):
        self.classes, self.outputs = classes, outputs
        self.embedding = nn.Embedding(inputs, hidden_size) if symbols else nn.Identity()
        self.reader = _reader(cell, hidden_size if symbols else inputs, hidden_size, outputs, longest)
        self.model = nn.ModuleDict({"embedding": self.embedding, "reader": self.reader})
        self.optimizer = torch.optim.Adam(self.model.parameters(), rate)
        self.clip = ClipNorm(1.0)

    def learn(self, inputs: Tensor, targets: Tensor, when: Tensor | None, starts: Tensor, lengths: Tensor) -> Tensor:
        """Learn the sequences in their order, batch by batch; the outputs (T, 1, K), each before its batch's update."""
        y = torch.zeros(len(inputs), 1, self.outputs)
        asked = torch.ones(len(inputs), dtype=torch.bool) if when is None else when[:, 0]
        for steps, inside in _batches(starts[: int(lengths), 0]):
            here = steps[inside & asked[steps]]
            out = self._out(inputs[:, 0], steps)[inside & asked[steps]]
            self.optimizer.zero_grad()
            self._loss(out, targets[here, 0]).backward()
            self.clip(self.model.parameters())
            self.optimizer.step()
            y[here, 0] = self._said(out.detach())
        return y

    def predict(self, inputs: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
        """The outputs (T, 1, K) with weights as they are."""
        y = torch.zeros(len(inputs), 1, self.outputs)
        with torch.no_grad():
            for steps, inside in _batches(starts[: int(lengths), 0]):
                y[steps[inside], 0] = self._said(self._out(inputs[:, 0], steps)[inside])
        return y

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, copied."""
        optimizer = self.optimizer.state_dict()
        state = {number: {k: v.clone() for k, v in one.items()} for number, one in optimizer["state"].items()}
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        return {"model": weights, "optimizer": {**optimizer, "state": state}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _out(self, inputs: Tensor, steps: Tensor) -> Tensor:
        """The net's outputs (L, B, K) at those steps of the inputs (T, D) or (T,)."""
        return self.reader(self.embedding(inputs[steps]).float())

    def _loss(self, out: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(out, targets) if self.classes else F.mse_loss(out, targets.float())

    def _said(self, out: Tensor) -> Tensor:
        return out.softmax(-1) if self.classes else out


def _reader(cell: str, inputs: int, hidden_size: int, outputs: int, longest: int) -> Reader:
    if cell == "lstm_1997":
        blocks, start = hidden_size // 2, {"b_i": -math.log(longest)}
        return Reader(cells.lstm_1997.with_(biased="ioc"), inputs, hidden_size, outputs, init=start, blocks=blocks)
    reader = Reader(cell, inputs, hidden_size, outputs)
    chrono_(reader.layer, longest)
    return reader


def _batches(starts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Of sequences that start where `starts` (T,) is true, the steps (L, B) of each batch, and which are within theirs.

    >>> (steps, inside), = _batches(torch.tensor([True, False, True]))
    >>> steps.T.tolist(), inside.T.tolist()
    ([[0, 1], [2, 2]], [[True, True], [True, False]])
    """
    begins = starts.nonzero()[:, 0]
    ends = torch.cat([begins[1:], torch.tensor([len(starts)])])
    for first, last in zip(begins.split(BATCH), ends.split(BATCH), strict=True):
        steps = first + torch.arange(int((last - first).max()))[:, None]
        yield torch.minimum(steps, last - 1), steps < last


def unrolled(today: Mapping[str, Any] | None, **more: Any) -> Unrolled | None:
    """The net of today's settings; None where a setting is the paper's."""
    return Unrolled(**today, **more) if today else None


NETS = {"lstm": ("LSTM of {} units", 16), "lstm_1997": ("{} of the paper's cells", 8)}  # and how many


def as_today(
    published: Setting,
    *,
    longest: int,
    rate: float = 0.01,
    limit: int = 200_000,
    named: bool = True,
    explanation: str = "",
) -> list[Setting]:
    """Beside a setting of the paper two in which an LSTM, and its own cell, learn the same with Adam.

    `named` says whether names and titles begin with those of the paper's setting, where it has several tasks.
    """
    name, title = (f"{published.name}-", f"{published.title}: ") if named else ("", "")
    task = {**published.options, "rate": rate, "limit": limit}
    return [
        Setting(
            f"{name}{cell}-adam",
            f"{title}{net.format(size)}, Adam, rate {rate:g}, full gradients",
            {**task, "today": {"cell": cell, "hidden_size": size, "longest": longest}},
            TODAY,
            published.paper,
            trials=published.trials,
            together=1,
            explanation=explanation,
        )
        for cell, (net, size) in NETS.items()
    ]
