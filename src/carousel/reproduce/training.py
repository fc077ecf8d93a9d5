"""Training by back-propagation within an experiment: what is shared by those that train with `carousel.train`.

Legend: T time, B batch, D input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.graph import AnyCell
from carousel.layers import Recurrent

if TYPE_CHECKING:
    from carousel.reproduce.work import Work
    from carousel.train import Lesson, Outcome


class Reader(nn.Module):
    """Layers of a cell and an affine output: (T, B, D) to (T, B, outputs), or (B, outputs) of the last step."""

    def __init__(
        self,
        cell: str | AnyCell,
        input_size: int,
        hidden_size: int,
        outputs: int,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
        last: bool = False,
        init: Mapping[str, Any] | None = None,
        **sizes: Any,
    ):
        super().__init__()
        equations = cells.load(cell) if isinstance(cell, str) else cell
        self.layer = Recurrent(equations, input_size, hidden_size, num_layers, dropout=dropout, init=init, **sizes)
        self.output, self.last = nn.Linear(hidden_size, outputs), last

    def forward(self, x: Tensor, **more: Any) -> Tensor:
        """The outputs; `more` goes to the layer."""
        y = self.layer(x, **more)[0]
        return self.output(y[-1] if self.last else y)


def weights(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


class Rows(torch.utils.data.Dataset):
    """Tensors whose first axis counts the items; a batch is taken out of them at once.

    >>> rows = Rows(torch.arange(4), torch.eye(4))
    >>> rows.__getitems__([2, 0])[0]
    tensor([2, 0])
    """

    def __init__(self, *tensors: Tensor):
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(one[index] for one in self.tensors)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, ...]:
        """A batch."""
        return tuple(one[indices] for one in self.tensors)


def batches(rows: Rows, size: int, seed: int | None = None) -> Any:
    """The rows in batches, shuffled anew each epoch if there is a seed."""
    from carousel.train import Batches, Order, Shuffle

    order = Order(len(rows), size) if seed is None else Shuffle(len(rows), size, seed)
    return Batches(rows, order, collate=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def train(work: Work, lesson: Lesson, training: Any, validation: Any = None, **how: Any) -> Outcome:
    """`carousel.train.fit` with its checkpoints in the work's folder, and the work's bar."""
    from carousel.train import fit

    return fit(lesson, training, validation, folder=work.folder / "training", resume=True, progress=bar(work), **how)


def bar(work: Work) -> Any:
    """A `carousel.train.Progress` that moves the bar of the work."""
    from carousel.train import Progress

    class Bar(Progress):
        """Moves the experiment's bar instead of one of its own."""

        done = 0

        def start(self, update: int) -> None:
            self.done = update

        def step(self) -> None:
            self.done += 1
            work.progress(self.done / self.updates, self._place(self.done) + self.text)

    return Bar(None)


def curve(history: Sequence[Mapping[str, float]], score: str) -> list[tuple[int, float]]:
    """A score by update, of `Outcome.history`."""
    return [(int(row["update"]), row[score]) for row in history if score in row]


def chrono_(layer: Recurrent, longest: int) -> None:
    """Biases so that memories last for up to `longest` steps (Tallec & Ollivier, 2018, arXiv:1804.11188, eq. 16).

    >>> layer = Recurrent(cells.load("lstm"), 2, 3)
    >>> chrono_(layer, 100)
    >>> torch.equal(layer.b_f_l0, -layer.b_i_l0)
    True
    """
    with torch.no_grad():
        for k in range(layer.num_layers):
            forget, open_ = getattr(layer, f"b_f_l{k}"), getattr(layer, f"b_i_l{k}")
            forget.uniform_(1, longest - 1).log_()
            open_.copy_(-forget)
