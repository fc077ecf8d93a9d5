"""Published cells, one file each, and how to find one by name or in a user's own file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from carousel.cells.elman import elman
from carousel.cells.gru import gru
from carousel.cells.lstm import lstm
from carousel.cells.peephole_lstm import peephole_lstm
from carousel.cells.projected_lstm import projected_lstm
from carousel.graph import Cell
from carousel.graph.loading import module_from

__all__ = ["Entry", "elman", "entries", "get", "gru", "load", "lstm", "names", "peephole_lstm", "projected_lstm"]


@dataclass(frozen=True)
class Entry:
    """A registered cell: the year it was published, one sentence, and whose numbers it is tested against.

    `stopped_gradients` names the parameters and states whose gradient the paper stops.
    """

    name: str
    cell: Cell
    year: int
    summary: str
    oracle: str
    stopped_gradients: tuple[str, ...] = ()


_ENTRIES = (
    Entry("elman", elman, 1990, "Simple recurrent network", "torch.nn.RNN"),
    Entry("lstm", lstm, 2000, "LSTM with forget gates", "torch.nn.LSTM"),
    Entry("peephole_lstm", peephole_lstm, 2000, "LSTM whose gates see the cell's state", "onnxruntime"),
    Entry("gru", gru, 2014, "Gated recurrent unit, reset after the product", "torch.nn.GRU"),
    Entry("projected_lstm", projected_lstm, 2014, "LSTM with a recurrent projection", "torch.nn.LSTM"),
)


def entries() -> Iterator[Entry]:
    """The registered cells, oldest first.

    >>> [entry.name for entry in entries()]
    ['elman', 'lstm', 'peephole_lstm', 'gru', 'projected_lstm']
    """
    return iter(_ENTRIES)


def names() -> tuple[str, ...]:
    """The names of the registered cells.

    >>> "gru" in names()
    True
    """
    return tuple(entry.name for entry in _ENTRIES)


def get(name: str) -> Cell:
    """The registered cell of that name. Raises ValueError, naming the closest, where there is none.

    >>> get("lstm")
    <cell lstm(x, h, c)>
    >>> get("ltsm")
    Traceback (most recent call last):
    ValueError: there is no cell 'ltsm'. Did you mean 'lstm'? Registered are: elman, lstm, ...
    """
    for entry in _ENTRIES:
        if entry.name == name:
            return entry.cell
    close = difflib.get_close_matches(name, names(), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"there is no cell {name!r}.{hint} Registered are: {', '.join(names())}. "
        f"For one of your own write FILE.py:NAME."
    )


def load(spec: str) -> Cell:
    """A registered cell by name, or one of a user's own file as `path/to/file.py:name`.

    Raises ValueError where there is no such cell, file or name, or where it is no cell. Errors of the file itself come
    through.

    >>> load("gru") is get("gru")
    True
    """
    path, colon, name = spec.rpartition(":")
    if not colon or not path.endswith(".py"):
        if spec.endswith(".py"):
            raise ValueError(f"cell {spec!r}: the name is missing; write {spec}:NAME.")
        return get(spec)
    if not os.path.isfile(path):
        raise ValueError(f"cell {spec!r}: there is no file {path}.")
    module = module_from(path)
    found = getattr(module, name, None)
    if isinstance(found, Cell):
        return found
    cells = sorted(key for key, value in vars(module).items() if isinstance(value, Cell))
    known = f"The cells there are: {', '.join(cells)}." if cells else "There is no cell in it."
    if found is not None:
        kind = type(found).__name__
        raise ValueError(f"cell {spec!r}: {name} is a {kind}, expected a cell made by @carousel.cell. {known}")
    raise ValueError(f"cell {spec!r}: {path} has no {name}. {known}")
