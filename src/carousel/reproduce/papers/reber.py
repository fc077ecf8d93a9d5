"""The embedded Reber grammar: strings drawn from it, and the symbols that may come next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SYMBOLS = "BTPSXVE"
B, T, P, S, X, V, E = range(7)

# Reber's automaton: in each state, two branches of equal probability (symbol, next state). State 6 says E and ends.
BRANCHES = (
    ((B, 1), (B, 1)),
    ((T, 2), (P, 3)),
    ((S, 2), (X, 4)),
    ((T, 3), (V, 5)),
    ((X, 3), (S, 6)),
    ((P, 4), (V, 6)),
    ((E, 7), (E, 7)),
)
_SYMBOL = np.array([[symbol for symbol, _ in branches] for branches in BRANCHES])  # (state, branch)
_NEXT = np.array([[state for _, state in branches] for branches in BRANCHES])
_LEGAL = np.zeros((7, 7), dtype=bool)  # (state, symbol)
for _state, _branches in enumerate(BRANCHES):
    for _symbol, _ in _branches:
        _LEGAL[_state, _symbol] = True


class Strings(NamedTuple):
    """k embedded Reber strings, one after the other.

    Attributes:
        symbols: (steps,) all symbols but the last E of each string: what a net sees.
        next: (steps,) the symbol that comes next.
        legal: (steps, 7) which symbols might come next.
        lengths: (k,) steps of each string, one fewer than symbols.
    """

    symbols: NDArray[np.int64]
    next: NDArray[np.int64]
    legal: NDArray[np.bool_]
    lengths: NDArray[np.int64]


def strings(rng: np.random.Generator, count: int) -> Strings:
    """Draw: B, then T or P, a Reber string, the same T or P once more, E.

    >>> drawn = strings(np.random.default_rng(0), 1)
    >>> "".join(SYMBOLS[symbol] for symbol in drawn.symbols) + SYMBOLS[drawn.next[-1]]
    'BTBPVPXTTTTVVETE'
    """
    inner, states = _reber(rng, count)
    around = np.where(rng.integers(2, size=count) == 1, T, P)
    lengths = (inner >= 0).sum(axis=1)
    width = inner.shape[1] + 4
    rows, symbols = np.arange(count), np.full((count, width), -1, dtype=np.int64)
    legal = np.zeros((count, width, 7), dtype=bool)
    symbols[:, 0], symbols[:, 1], symbols[:, 2:-2] = B, around, inner
    legal[:, 0, [T, P]], legal[:, 1:-3] = True, _LEGAL[states]
    symbols[rows, lengths + 2], symbols[rows, lengths + 3] = around, E
    legal[rows, lengths + 1], legal[rows, lengths + 2] = False, False
    legal[rows, lengths + 1, around], legal[rows, lengths + 2, E] = True, True
    seen = np.arange(width) < lengths[:, None] + 3
    return Strings(symbols[seen], symbols[:, 1:][seen[:, :-1]], legal[seen], lengths + 3)


def _reber(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Symbols of Reber strings, -1 after the end, and the states in which they are said: (count, longest)."""
    state = np.zeros(count, dtype=np.int64)
    symbols, states = [], []
    while (going := state < 7).any():
        branch = rng.integers(2, size=count)
        at = np.where(going, state, 0)
        symbols.append(np.where(going, _SYMBOL[at, branch], -1))
        states.append(at)
        state = np.where(going, _NEXT[at, branch], 7)
    return np.stack(symbols, axis=1), np.stack(states, axis=1)


def take(drawn: Strings, chosen: NDArray[np.int64]) -> Strings:
    """Those of the strings, in that order, repeated where chosen twice."""
    starts = np.cumsum(drawn.lengths) - drawn.lengths
    lengths = drawn.lengths[chosen]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    steps = np.repeat(starts[chosen], lengths) + within
    return Strings(drawn.symbols[steps], drawn.next[steps], drawn.legal[steps], lengths)


def all_legal_first(outputs: NDArray[np.float64], legal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(steps,) whether every legal next symbol's output is larger than that of every other one.

    >>> all_legal_first(np.array([[0.4, 0.5, 0.1]]), np.array([[True, True, False]])).tolist()
    [True]
    """
    least = np.where(legal, outputs, np.inf).min(axis=1)
    most = np.where(legal, -np.inf, outputs).max(axis=1)
    return least > most
