"""The registry: what is kept of a published cell, and how to find one by name or in a user's own file."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from carousel.cells import specification
from carousel.cells.page import Page, read_page
from carousel.graph import AnyCell


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
        """A registered cell by name, or one of a user's own file as `path/to/file.py:name`, with options in brackets.

        Raises ValueError where there is no such cell, file, name or option, or where it is no cell. Errors of the file
        itself come through.

        >>> import carousel as ca
        >>> ca.cells.load("gru") is ca.cells.gru
        True
        >>> ca.cells.load("slstm(heads=2)")
        <cell slstm(x, h, c, n, m, forget='sigmoid', heads=2)>
        """
        name, options = specification.read(spec)
        cell = self._find(name)
        try:
            return cell.with_(**options) if options else cell
        except TypeError as error:
            raise ValueError(f"cell {spec!r}: {error}") from None

    def _find(self, spec: str) -> AnyCell:
        path, colon, name = spec.rpartition(":")
        if colon and path.endswith(".py"):
            return specification.cell_of_file(path, name)
        if spec.endswith(".py"):
            raise ValueError(f"cell {spec!r}: the name is missing; write {spec}:NAME.")
        return self.get(spec)
