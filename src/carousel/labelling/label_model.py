"""A recurrent net as language model of labels.

Legend: U labels of a transcript, B batch, K labels with the blank, E features of an embedding, H of the layer's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel.labelling.states import joined, row


class LabelModel(nn.Module):
    """Predicts the next label from all labels before it: a `LanguageModel` for `BeamSearch`.

    The blank, which transcripts do not have, stands for their beginning in the input and for their end in the output.

    Args:
        embedding: of K labels, `torch.nn.Embedding(K, E)`.
        layer: reads (T, B, E) and gives its output and state: a `Recurrent` of any cell, `LSTM`, `GRU`, `RNN`, not
            bidirectional, not `batch_first`.
        readout: from the layer's output to K scores, `torch.nn.Linear(H, K)`.
        blank: which label is the blank.

    As a language model it should be in evaluation: `model.eval()`.

    >>> import carousel as ca
    >>> model = LabelModel(nn.Embedding(5, 8), ca.LSTM(8, 16), nn.Linear(16, 5))
    >>> model.loss([[1, 2, 4], [3]]).backward()  # to be trained with any optimizer
    >>> search = ca.BeamSearch(10, language_model=model.eval(), weight=0.3)
    >>> len(search(torch.randn(20, 5)))
    1
    """

    space = None

    def __init__(self, embedding: nn.Embedding, layer: nn.Module, readout: nn.Linear, blank: int = 0) -> None:
        super().__init__()
        if embedding.num_embeddings != readout.out_features or not 0 <= blank < readout.out_features:
            raise ValueError(
                f"LabelModel: the embedding has {embedding.num_embeddings} labels, the readout {readout.out_features}, "
                f"the blank is {blank}; expected K, K, and one of 0 to K - 1."
            )
        if getattr(layer, "bidirectional", False) or getattr(layer, "batch_first", False):
            raise ValueError(
                "LabelModel: the layer is bidirectional or batch_first, expected neither: it reads (T, B, E)."
            )
        self.embedding, self.layer, self.readout, self.blank = embedding, layer, readout, blank

    def forward(self, labels: Tensor) -> Tensor:
        """Scores (U + 1, B, K), before the softmax, of each of the labels (U, B) and of what follows the last one."""
        begun = F.pad(labels, (0, 0, 1, 0), value=self.blank)
        return self.readout(self.layer(self.embedding(begun))[0])

    def loss(self, transcripts: Sequence[Sequence[int] | Tensor]) -> Tensor:
        """The mean of -ln p over all labels of some transcripts and their ends, in nats.

        Raises ValueError where there is no transcript.
        """
        if not transcripts:
            raise ValueError("LabelModel: there is no transcript to take the loss of.")
        device = self.readout.weight.device
        rows = [torch.as_tensor(t, dtype=torch.int64, device=device) for t in transcripts]
        scores = self(pad_sequence(rows, padding_value=self.blank))
        ended = [F.pad(row, (0, 1), value=self.blank) for row in rows]
        wanted = pad_sequence(ended, padding_value=-1)
        return F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=-1)

    # -- as a language model

    def start(self) -> _State:
        return _State(None, self.blank)

    def score(self, state: _State, label: int) -> tuple[float, _State]:
        after, log_probs = state.advanced(self)
        return log_probs[label], _State(after, label)

    def prepare(self, states: Sequence[_State]) -> None:
        """Takes one step for all states that it will be asked about and was not yet."""
        new = [state for state in dict.fromkeys(states) if not state.asked and state.before is not None]
        if len(new) > 1:
            labels = torch.tensor([state.label for state in new], device=self.readout.weight.device)
            after, log_probs = self._step(labels, joined([state.before for state in new]))
            for n, state in enumerate(new):
                state.asked = row(after, n), log_probs[n]

    def _step(self, labels: Tensor, before: Any) -> tuple[Any, list[list[float]]]:
        """The layer's state after one label more for each of B samples, and the log-probabilities of what follows."""
        with torch.no_grad():
            y, after = self.layer(self.embedding(labels).unsqueeze(0), before)
            return after, self.readout(y[0]).log_softmax(-1).tolist()

    def end(self, state: _State) -> float:
        return state.advanced(self)[1][self.blank]


class _State:
    """The layer's state, and a label that it has not read yet: it does when it is asked what follows."""

    def __init__(self, before: Any, label: int) -> None:
        self.before, self.label = before, label
        self.asked: tuple[Any, list[float]] | None = None

    def advanced(self, model: LabelModel) -> tuple[Any, list[float]]:
        """The layer's state after the label, and the log-probabilities of what follows."""
        if self.asked is None:
            label = torch.tensor([self.label], device=model.readout.weight.device)
            after, log_probs = model._step(label, self.before)
            self.asked = after, log_probs[0]
        return self.asked
