"""The registry: what is kept of a published cell, and how to find one by name or in a user's own file."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from carousel.cells.page import Page, read_page
from carousel.graph import AnyCell, Cell, TensorCell
from carousel.graph.loading import module_from


@dataclass(frozen=True)
class Entry:
    """A registered cell: its equations, the year it was published, and the layer that it is made for.

    `stopped_gradients` names the parameters and states whose gradient the paper stops.
    """

    cell: AnyCell
    year: int
    layer: str = "Recurrent"
    stopped_gradients: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.cell.name

    @property
    def page(self) -> Page:
        """The docstring of the cell's file."""
        return read_page(sys.modules[self.cell.fn.__module__].__doc__ or "")


class Registry:
    """Published cells by name."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(sorted(entries, key=lambda entry: entry.year))  # stable: within a year as listed

    def entries(self) -> Iterator[Entry]:
        """The registered cells, oldest first.

        >>> import carousel as ca
        >>> [entry.name for entry in ca.cells.entries() if entry.year == 1990]
        ['elman']
        """
        return iter(self._entries)

    def names(self) -> tuple[str, ...]:
        """The names of the registered cells, oldest first.

        >>> import carousel as ca
        >>> "gru" in ca.cells.names()
        True
        """
        return tuple(entry.name for entry in self._entries)

    def entry(self, name: str) -> Entry:
        """The registered cell of that name with what is kept of it.

        Raises ValueError, naming the closest, where there is none.
        """
        for entry in self._entries:
            if entry.name == name:
                return entry
        close = difflib.get_close_matches(name, self.names(), 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"there is no cell {name!r}.{hint} `carousel cells` lists the {len(self._entries)} registered ones. "
            f"For one of your own write FILE.py:NAME."
        )

    def get(self, name: str) -> AnyCell:
        """The registered cell of that name. Raises ValueError, naming the closest, where there is none.

        >>> import carousel as ca
        >>> ca.cells.get("lstm")
        <cell lstm(x, h, c)>
        >>> ca.cells.get("ltsm")
        Traceback (most recent call last):
        ValueError: there is no cell 'ltsm'. Did you mean 'lstm'? ...
        """
        return self.entry(name).cell

    def load(self, spec: str) -> AnyCell:
        """A registered cell by name, or one of a user's own file as `path/to/file.py:name`.

        Raises ValueError where there is no such cell, file or name, or where it is no cell. Errors of the file itself
        come through.

        >>> import carousel as ca
        >>> ca.cells.load("gru") is ca.cells.gru
        True
        """
        path, colon, name = spec.rpartition(":")
        if not colon or not path.endswith(".py"):
            if spec.endswith(".py"):
                raise ValueError(f"cell {spec!r}: the name is missing; write {spec}:NAME.")
            return self.get(spec)
        if not os.path.isfile(path):
            raise ValueError(f"cell {spec!r}: there is no file {path}.")
        module = module_from(path)
        found = getattr(module, name, None)
        if isinstance(found, Cell | TensorCell):
            return found
        cells = sorted(key for key, value in vars(module).items() if isinstance(value, Cell | TensorCell))
        known = f"The cells there are: {', '.join(cells)}." if cells else "There is no cell in it."
        if found is not None:
            kind = type(found).__name__
            raise ValueError(f"cell {spec!r}: {name} is a {kind}, expected a cell made by @carousel.cell. {known}")
        raise ValueError(f"cell {spec!r}: {path} has no {name}. {known}")
