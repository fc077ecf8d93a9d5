"""Training by connectionist temporal classification: each step scores the blank and the characters by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from carousel.jobs.transcribe.alphabet import BLANK, Alphabet, least_steps
from carousel.jobs.transcribe.decoding import Decoding, read_language_model
from carousel.jobs.transcribe.head import Marks
from carousel.labelling import Alignment, BeamSearch, BestPath, PrefixSearch, ctc_align, ctc_loss

BEAM = 50
THRESHOLD = 1e-4  # labels less probable at a step are not tried in a beam


class CTC(nn.Linear):
    """Scores (T, B, K) of the blank and the characters. Graves et al., ICML 2006, doi:10.1145/1143844.1143891.

    >>> head = CTC(6, 4, dropout=0.1)
    >>> scores = head(torch.randn(9, 2, 6))
    >>> head.loss(scores, [torch.tensor([1, 2]), torch.tensor([3])], torch.tensor([9, 5])).shape
    torch.Size([])
    """

    title = "connectionist temporal classification"

    def __init__(self, width: int, labels: int, dropout: float):
        super().__init__(width, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, y: Tensor) -> Tensor:
        """The scores (..., K)."""
        return super().forward(self.dropout(y))

    @staticmethod
    def least_steps(text: str) -> int:
        """How many steps a text needs: one a character, and one for the blank between equal neighbours."""
        return least_steps(text)

    def loss(self, read: Tensor, labels: list[Tensor], lengths: Tensor) -> Tensor:
        """-ln p of all transcripts together."""
        return ctc_loss(read, labels, lengths, reduction="sum")

    def best_path(self) -> BestPath:
        """The most probable label of each step."""
        return BestPath()

    def decoder(self, decoding: Decoding, alphabet: Alphabet, own: Any) -> Any:
        """The chosen decoder of scores. Raises JobError where its language model will not do."""
        if decoding.decoder == "best-path":
            return self.best_path()
        if decoding.decoder == "prefix-search":
            return PrefixSearch()
        model = read_language_model(decoding.language_model, alphabet, own)
        return BeamSearch(
            decoding.beam or BEAM,
            language_model=model,
            weight=decoding.weight,
            bonus=decoding.bonus,
            threshold=THRESHOLD,
        )

    def align(self, read: Tensor, labels: Tensor) -> Marks:
        """Along the best path of scores (T, K). Raises ValueError where the text needs more steps than there are."""
        found = ctc_align(read, labels)
        assert isinstance(found, Alignment)
        probabilities = torch.softmax(read, 1)
        return Marks(
            found.starts.tolist(),
            found.ends.tolist(),
            found.scores.exp().tolist(),
            probabilities[:, BLANK],
            probabilities[:, BLANK + 1 :].amax(1),
        )
