"""Sequence to sequence: an encoder, and a decoder that attends to what the encoder wrote.

Legend: S steps of the source, T steps of the target, B batch, V target tokens, w widths.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from carousel.graph import Cell
from carousel.layers import Recurrent
from carousel.layers.inputs import Lengths, read_lengths
from carousel.nets.attention import AdditiveAttention, MultiplicativeAttention

State = tuple[Tensor, ...]


class EncoderDecoder(nn.Module):
    """Reads source tokens with one stack of a cell and writes target tokens with another, attending at every step.

    `attention="additive"` follows Bahdanau, Cho & Bengio (2015, arXiv:1409.0473): the previous output asks, and the
    context enters the cell. `attention="multiplicative"` follows Luong, Pham & Manning (2015, arXiv:1508.04025): the
    present output asks, and what context and output make together is fed to the next step ("input feeding").

    Args:
        cell: of encoder and decoder; its first state is made from what the encoder ends with, others start as always.
        source_size, target_size: numbers of tokens.
        embedding_size: of both vocabularies.
        hidden_size: H of every layer.
        attention: "additive" or "multiplicative".
        num_layers: of encoder and decoder; the encoder reads both ways.
        dropout: between layers.
        engine: as for `Recurrent`.
        sizes: the cell's further sizes, such as `proj_size=64`.

    Deviates from the papers: one tanh layer before the output in both (Bahdanau has a maxout), and the decoder's first
    state is made from both directions' ends.

    Raises TypeError or ValueError for an argument that does not fit.

    >>> import carousel as ca
    >>> net = EncoderDecoder(ca.cells.lstm, source_size=10, target_size=12, embedding_size=8, hidden_size=16)
    >>> source, target = torch.randint(10, (7, 2)), torch.randint(12, (5, 2))
    >>> scores, weights = net(source, target, lengths=torch.tensor([7, 4]))
    >>> scores.shape, weights.shape
    (torch.Size([5, 2, 12]), torch.Size([5, 2, 7]))
    """

    def __init__(
        self,
        cell: Cell,
        source_size: int,
        target_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        attention: str = "additive",
        num_layers: int = 1,
        dropout: float = 0.0,
        engine: str = "auto",
        **sizes: Any,
    ) -> None:
        super().__init__()
        if attention not in ("additive", "multiplicative"):
            raise ValueError(f'EncoderDecoder: attention is {attention!r}, expected "additive" or "multiplicative".')
        self.asks_first = attention == "additive"
        self.source, self.target = nn.Embedding(source_size, embedding_size), nn.Embedding(target_size, embedding_size)
        shared: dict[str, Any] = {"num_layers": num_layers, "dropout": dropout, "engine": engine, **sizes}
        self.encoder = Recurrent(cell, embedding_size, hidden_size, bidirectional=True, **shared)
        keys = 2 * cell.output_width(**self.encoder.sizes)
        fed = keys if self.asks_first else hidden_size
        self.decoder = Recurrent(cell, embedding_size + fed, hidden_size, **shared)
        y = cell.output_width(**self.decoder.sizes)
        self.attention = (
            AdditiveAttention(y, keys, hidden_size) if self.asks_first else MultiplicativeAttention(y, keys)
        )
        ends = 2 * math.prod(cell.state_shapes(**self.encoder.sizes)[0])
        self.begin = nn.Linear(ends, num_layers * math.prod(cell.state_shapes(**self.decoder.sizes)[0]))
        self.together = nn.Linear(y + keys, hidden_size)
        self.output = nn.Linear(hidden_size, target_size)

    def forward(self, source: Tensor, target: Tensor, *, lengths: Lengths | None = None) -> tuple[Tensor, Tensor]:
        """Scores (T, B, V) of each next token, and the attention weights (T, B, S).

        Args:
            source: (S, B) whole numbers.
            target: (T, B), what the decoder reads at each step: the wanted tokens, one step late.
            lengths: (B,) of the source, from 1 to S.

        Raises TypeError or ValueError for input that does not fit.
        """
        if target.dim() != 2 or target.shape[1:] != source.shape[1:] or not len(target):
            raise ValueError(
                f"EncoderDecoder: target has shape {tuple(target.shape)} and source {tuple(source.shape)}, expected "
                f"(T, B) and (S, B) with T = 1 at least."
            )
        keys, lengths, memory = self._encode(source, lengths)
        scores, weights = [], []
        for token in target:
            score, weight, memory = self._step(token, keys, lengths, memory)
            scores.append(score)
            weights.append(weight)
        return torch.stack(scores), torch.stack(weights)

    @torch.no_grad()
    def generate(
        self, source: Tensor, start: int, stop: int, *, max_steps: int = 100, lengths: Lengths | None = None
    ) -> tuple[Tensor, Tensor]:
        """The likeliest token at each step, until `stop` or `max_steps`.

        Returns the tokens (T, B), `stop` where a row has ended, and the attention weights (T, B, S). Raises ValueError
        for fewer steps than one, or a source that does not fit.
        """
        if max_steps < 1:
            raise ValueError(f"EncoderDecoder: max_steps is {max_steps}, expected at least 1.")
        keys, lengths, memory = self._encode(source, lengths)
        token = source.new_full((source.shape[1],), start)
        ended = torch.zeros_like(token, dtype=torch.bool)
        tokens, weights = [], []
        for _ in range(max_steps):
            score, weight, memory = self._step(token, keys, lengths, memory)
            token = score.argmax(-1).masked_fill(ended, stop)
            ended |= token == stop
            tokens.append(token)
            weights.append(weight)
            if ended.all():
                break
        return torch.stack(tokens), torch.stack(weights)

    def _encode(self, source: Tensor, lengths: Lengths | None) -> tuple[Tensor, Tensor | None, tuple[Tensor, State]]:
        """The keys (S, B, k), their lengths, and what the decoder remembers before its first step: what is fed, and its
        state."""
        if source.dim() != 2:
            raise ValueError(f"EncoderDecoder: source has shape {tuple(source.shape)}, expected (S, B).")
        lengths = read_lengths("EncoderDecoder", lengths, *source.shape)
        keys, (ends, *_) = self.encoder(self.source(source), lengths=lengths)
        cell, B, layers = self.decoder.cell, source.shape[1], self.decoder.num_layers
        shapes = cell.state_shapes(**self.decoder.sizes)
        both = torch.cat([ends[-2].flatten(1), ends[-1].flatten(1)], -1)  # of the topmost layer, forward and reverse
        first = torch.tanh(self.begin(both)).view(B, layers, *shapes[0]).transpose(0, 1).contiguous()
        others = [
            first.new_full((layers, B, *shape), cell.initial[name])
            for name, shape in zip(cell.states[1:], shapes[1:], strict=True)
        ]
        if not self.asks_first:
            fed = first.new_zeros(B, self.together.out_features)
        elif shapes[0] == (y := cell.output_width(**self.decoder.sizes),):
            fed = first[-1]
        else:  # a state that is no output cannot ask
            fed = first.new_zeros(B, y)
        return keys, lengths, (fed, (first, *others))

    def _step(
        self, token: Tensor, keys: Tensor, lengths: Tensor | None, memory: tuple[Tensor, State]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, State]]:
        """One target step: the scores (B, V), the weights (B, S), and what is remembered."""
        fed, state = memory
        if self.asks_first:
            context, weights = self.attention(fed, keys, lengths)
            y, state = self.decoder.step(torch.cat([self.target(token), context], -1), state)
            made = torch.tanh(self.together(torch.cat([y, context], -1)))
            return self.output(made), weights, (y, state)
        y, state = self.decoder.step(torch.cat([self.target(token), fed], -1), state)
        context, weights = self.attention(y, keys, lengths)
        made = torch.tanh(self.together(torch.cat([y, context], -1)))
        return self.output(made), weights, (made, state)
