"""Truncated back-propagation through time: the state goes on from chunk to chunk, the gradient does not.

Legend: T time, B batch, w the width of what is meant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from carousel.train.chunks import Chunk
from carousel.train.processes import gathered, own


class Truncated:
    """Updates after each chunk of a stream; the gradient reaches back through the last `chunks` of them.

    With `chunks=1` the state that a chunk leaves is detached and begins the next one (Zaremba et al., 2014,
    arXiv:1409.2329; Sak et al., 2014, arXiv:1402.1128). With chunks of k1 steps, `chunks=m` is BPTT(m k1; k1) of
    Williams & Peng (1990, doi:10.1162/neco.1990.2.4.490): each chunk's loss flows back through m k1 steps. For that the
    chunks before are run again with the weights as they are by then, from the state that they began with: m times the
    work.

    >>> Truncated(chunks=3).chunks
    3
    """

    def __init__(self, chunks: int = 1):
        if chunks < 1:
            raise ValueError(f"Truncated: chunks is {chunks}, expected at least 1.")
        self.chunks = chunks
        self.state: Any = None  # before the oldest chunk that is kept
        self.kept: deque[Any] = deque()

    def __call__(self, loss: Callable, model: Any, chunk: Any) -> Any:
        """The loss of the newest chunk, as `loss(model, chunk, state)` gives it together with the next state."""
        self.kept.append(chunk)
        state, begun = self.state, [self.state]
        for one in self.kept:
            found, state = loss(model, one, state)
            begun.append(state)
        if len(self.kept) == self.chunks:
            self.kept.popleft()
            self.state = detached(begun[1])
        return found

    def to(self, device: torch.device) -> None:
        """Move what is kept."""
        from lightning.fabric.utilities import move_data_to_device

        self.state, kept = move_data_to_device((self.state, list(self.kept)), device)
        self.kept = deque(kept)

    def state_dict(self) -> dict[str, Any]:
        """The state of each process, and the chunks that will be run again."""
        return {"processes": gathered([detached(self.state), [tuple(one) for one in self.kept]])}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Raises TrainingError if it was saved by another number of processes."""
        self.state, kept = own(saved["processes"])
        self.kept = deque(Chunk(*one) for one in kept)


def detached(state: Any) -> Any:
    """The same numbers without their past. Raises TypeError for what is not made of tensors, tuples, lists, dicts."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.detach()
    if type(state) in (tuple, list):
        return type(state)(map(detached, state))
    if type(state) is dict:
        return {name: detached(value) for name, value in state.items()}
    raise TypeError(f"Truncated: the state holds a {type(state).__name__}, expected tensors in tuples, lists or dicts.")
