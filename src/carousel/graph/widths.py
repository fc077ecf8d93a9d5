"""Widths of rows: symbols such as `hidden_size`, and their unification while a cell is traced.

After tracing, a width is a `Width`, an immutable sum such as `input_size + 2*hidden_size + 1`. While tracing it is a
`Dimension`, which may still be open and becomes equal to others as the equations go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carousel.graph.places import Place

_TERM = re.compile(r"(?:(\d+)\s*\*\s*)?([A-Za-z_]\w*)|(\d+)")


@dataclass(frozen=True)
class Width:
    """A width: a sum of sizes times whole numbers, plus a whole number.

    >>> w = Width.of("2*hidden_size + 1")
    >>> str(w), w.resolve({"hidden_size": 5})
    ('2*hidden_size + 1', 11)
    """

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0

    @classmethod
    def of(cls, given: int | str | Width) -> Width:
        """A width from a whole number, a size's name, or a sum written out; ValueError for anything else."""
        if isinstance(given, Width):
            return given
        if isinstance(given, int) and not isinstance(given, bool) and given > 0:
            return cls((), given)
        if isinstance(given, str):
            found = [_TERM.fullmatch(part.strip()) for part in given.split("+")]
            if all(found):
                total = cls()
                for match in found:
                    assert match is not None
                    count, name, number = match.groups()
                    total += cls(((name, int(count or 1)),)) if name else cls((), int(number))
                return total
        raise ValueError(
            f"a width was given as {given!r}, expected a positive whole number, the name of a size such as "
            f"'hidden_size', or a sum such as '2*hidden_size + 1'"
        )

    def __add__(self, other: Width) -> Width:
        return self._combine(other, 1)

    def __sub__(self, other: Width) -> Width:
        return self._combine(other, -1)

    def _combine(self, other: Width, sign: int) -> Width:
        terms = dict(self.terms)
        for name, count in other.terms:
            terms[name] = terms.get(name, 0) + sign * count
        kept = tuple(sorted((name, count) for name, count in terms.items() if count))
        return Width(kept, self.constant + sign * other.constant)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the sizes in it."""
        return tuple(name for name, _ in self.terms)

    def resolve(self, sizes: Mapping[str, int]) -> int:
        """The width as a number; KeyError where a size is missing."""
        return self.constant + sum(count * sizes[name] for name, count in self.terms)

    def __str__(self) -> str:
        parts = [name if count == 1 else f"{count}*{name}" for name, count in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts).replace("+ -", "- ")


ONE = Width((), 1)


class Dimension:
    """A width during tracing: known, or open, or a sum of dimensions some of which are open."""

    def __init__(self, value: Width | None = None, parts: Iterable[Dimension] = (), minus: Dimension | None = None):
        self._value = value
        self._equal: Dimension | None = None
        self.parts = tuple(parts)
        self.minus = minus
        self.origin = value

    def root(self) -> Dimension:
        """The dimension that stands for all that were found equal to this one."""
        here = self
        while here._equal is not None:
            here = here._equal
        return here

    @property
    def known(self) -> Width | None:
        """The width, or None while it is open."""
        here = self.root()
        if here._value is None and here.parts:
            parts = [part.known for part in here.parts]
            less = here.minus.known if here.minus is not None else Width()
            if less is not None and all(part is not None for part in parts):
                here._value = sum((part for part in parts if part is not None), Width()) - less
        return here._value

    def gather(self, sign: int, open_counts: dict[Dimension, int]) -> Width:
        """The known part of the sum, times `sign`; the open parts are counted in `open_counts`."""
        here = self.root()
        if here.known is not None:
            return here.known if sign == 1 else Width() - here.known
        if not here.parts:
            open_counts[here] = open_counts.get(here, 0) + sign
            return Width()
        total = sum((part.gather(sign, open_counts) for part in here.parts), Width())
        return total + here.minus.gather(-sign, open_counts) if here.minus is not None else total

    def contains(self, other: Dimension) -> bool:
        """Whether this is a sum of which `other`, a root, is a part."""
        parts = [*self.parts, *([self.minus] if self.minus is not None else [])]
        return any(part.root() is other or part.root().contains(other) for part in parts)

    @property
    def one(self) -> bool:
        """Literally one wide: such rows broadcast, and no others."""
        return self.known == ONE


class WidthMismatch(Exception):
    """Two dimensions that must be equal are known and differ."""


class Unifier:
    """The equalities between dimensions that the equations state, and the lines that stated them."""

    def __init__(self) -> None:
        self._edges: dict[Dimension, list[tuple[Dimension, Place]]] = {}
        self._pending: list[tuple[Dimension, Dimension, Place]] = []

    def unify(self, left: Dimension, right: Dimension, place: Place) -> None:
        """Make two dimensions equal. Raises WidthMismatch where both are known and differ."""
        a, b = left.root(), right.root()
        if a is b:
            return
        if a.known is not None and b.known is not None:
            if a.known != b.known:
                raise WidthMismatch
        elif (a.parts and (b.known or b.parts)) or (b.parts and a.known) or a.contains(b) or b.contains(a):
            self._pending.append((left, right, place))
        elif a.known is not None or a.parts:
            b._equal = a
        else:
            a._equal = b
        self._edges.setdefault(left, []).append((right, place))
        self._edges.setdefault(right, []).append((left, place))

    def solve(self) -> tuple[Dimension, Dimension, Place] | None:
        """Settle what had to wait for open parts of sums; the first equality that cannot hold, if there is one."""
        progress = True
        while progress:
            progress = False
            for left, right, place in list(self._pending):
                if left.known is not None and right.known is not None:
                    self._pending.remove((left, right, place))
                    if left.known != right.known:
                        return left, right, place
                    progress = True
                else:
                    progress |= self._settle(left, right)
        return None

    @staticmethod
    def _settle(left: Dimension, right: Dimension) -> bool:
        """If one open dimension is all that stands between two sums, it is what they leave for it."""
        open_counts: dict[Dimension, int] = {}
        rest = left.gather(1, open_counts) + right.gather(-1, open_counts)
        unknown = [(dimension, count) for dimension, count in open_counts.items() if count]
        if len(unknown) != 1 or abs(unknown[0][1]) != 1:
            return False
        dimension, count = unknown[0]
        dimension._value = Width() - rest if count == 1 else rest
        return True

    def pin(self, dimension: Dimension, width: Width) -> None:
        """Give an open dimension its width, or the open parts of a sum theirs."""
        root = dimension.root()
        if root.known is None and not root.parts:
            root._value = width
        for part in (*root.parts, *([root.minus] if root.minus is not None else [])):
            self.pin(part, width)

    def history(self, dimension: Dimension) -> list[Place]:
        """The places through which a dimension got its width, from the first to the last."""
        came_from: dict[Dimension, tuple[Dimension, Place] | None] = {dimension: None}
        queue = [dimension]
        for here in queue:
            if here.origin is not None:
                return self._path(came_from, here)
            for following, place in self._edges.get(here, []):
                if following not in came_from:
                    came_from[following] = (here, place)
                    queue.append(following)
        return []

    @staticmethod
    def _path(came_from: Mapping[Dimension, tuple[Dimension, Place] | None], here: Dimension) -> list[Place]:
        path: list[Place] = []
        step = came_from[here]
        while step is not None:
            before, place = step
            if not any(place.line == other.line for other in path):
                path.append(place)
            step = came_from[before]
        return path
