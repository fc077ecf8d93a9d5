"""Attention of a query over keys, additive and multiplicative.

Legend: B batch, S steps of the source, T steps of queries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from carousel.layers.inputs import Lengths


class Attention(nn.Module):
    """What both kinds share: scores to weights to a context."""

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """(T, B, S) from the query (T, B, q) and the keys (S, B, k)."""
        raise NotImplementedError

    def forward(self, query: Tensor, keys: Tensor, lengths: Lengths | None = None) -> tuple[Tensor, Tensor]:
        """The context that each query gets from the keys.

        Args:
            query: (T, B, query_size), or (B, query_size) for one.
            keys: (S, B, key_size), which are averaged as well.
            lengths: (B,) whole numbers from 1 to S; keys past them get no weight.

        Returns:
            the context (T, B, key_size) or (B, key_size), and the weights (T, B, S) or (B, S), which sum to 1.

        Raises:
            ValueError: where a length is less than 1 or more than S.
        """
        many = query if query.dim() == 3 else query.unsqueeze(0)
        scores = self.scores(many, keys)
        if lengths is not None:
            S, lengths = len(keys), torch.as_tensor(lengths, device=keys.device)
            if lengths.numel() and (int(lengths.min()) < 1 or int(lengths.max()) > S):
                raise ValueError(f"attention: lengths are {lengths.tolist()}, expected numbers from 1 to {S}.")
            scores = scores.masked_fill(torch.arange(S, device=keys.device) >= lengths[:, None], -torch.inf)
            beyond = torch.arange(S, device=keys.device)[:, None, None] >= lengths[:, None]
            keys = keys.masked_fill(beyond, 0)  # what lies there may be NaN
        weights = scores.softmax(-1)
        context = torch.einsum("tbs,sbk->tbk", weights, keys)
        return (context, weights) if query.dim() == 3 else (context[0], weights[0])


class AdditiveAttention(Attention):
    """e = v . tanh(W_q query + W_k key), softmax over the keys.

    Bahdanau, Cho & Bengio, 2015, arXiv:1409.0473, appendix A.1.2.

    >>> attention = AdditiveAttention(query_size=4, key_size=6, size=5)
    >>> context, weights = attention(torch.randn(2, 4), torch.randn(7, 2, 6))
    >>> context.shape, weights.shape
    (torch.Size([2, 6]), torch.Size([2, 7]))
    """

    def __init__(self, query_size: int, key_size: int, size: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(query_size, size, bias=False), nn.Linear(key_size, size, bias=False)
        self.v = nn.Linear(size, 1, bias=False)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        summed = self.query(query)[:, :, None] + self.key(keys).transpose(0, 1)  # (T, B, S, size)
        return self.v(torch.tanh(summed)).squeeze(-1)


class MultiplicativeAttention(Attention):
    """e = query . W key, softmax over the keys; without W (`dot=True`) the widths must be equal.

    Luong, Pham & Manning, 2015, arXiv:1508.04025, section 3.1: "general" and "dot".
    Raises ValueError for `dot=True` and widths that differ.

    >>> attention = MultiplicativeAttention(query_size=4, key_size=6)
    >>> context, weights = attention(torch.randn(3, 2, 4), torch.randn(7, 2, 6), lengths=torch.tensor([7, 2]))
    >>> weights[:, 1, 2:].sum().item()
    0.0
    """

    def __init__(self, query_size: int, key_size: int, *, dot: bool = False) -> None:
        super().__init__()
        if dot and query_size != key_size:
            raise ValueError(
                f"MultiplicativeAttention: query_size is {query_size} and key_size {key_size}; a dot product needs "
                f"them equal. Leave dot out: W then fits one to the other."
            )
        self.key = None if dot else nn.Linear(key_size, query_size, bias=False)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return torch.einsum("tbq,sbq->tbs", query, keys if self.key is None else self.key(keys))
