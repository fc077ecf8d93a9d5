"""Sizes: what is said of a name that is not known, the numbers given for sizes, and extents computed from them."""

from __future__ import annotations

import ast
import difflib
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

Extent = int | str | tuple[Any, ...]  # a number, a name, or (sign, left, right): what torch.compile can trace
SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def hint(given: str, known: Iterable[str]) -> str:
    """The end of an error message about a name that is not known: the closest one, or all.

    >>> hint("ltsm", ["gru", "lstm"])
    " Did you mean 'lstm'?"
    """
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), lower, 1)
    return f" Did you mean {lower[close[0]]!r}?" if close else f" Known are: {', '.join(known) or 'none'}."


def check_sizes(name: str, known: Iterable[str], sizes: Mapping[str, Any]) -> None:
    """TypeError unless exactly the sizes `known` of the cell `name` are given, ValueError for what is no size."""
    for size in sizes:
        if size not in known:
            raise TypeError(f"{name}: there is no size {size!r}.{hint(size, known)}")
    missing = [size for size in known if size not in sizes]
    if missing:
        raise TypeError(f"{name}: {', '.join(missing)} missing; this cell's sizes: {', '.join(known)}.")
    for size, value in sizes.items():
        least = 0 if size == "input_size" else 1  # a cell may run on its states alone
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}: {size} is {value!r}, expected a whole number from {least} on.")


def parsed(written: int | str) -> Extent:
    """An extent as it is written, read into parts.

    Raises ValueError where it is no sum, difference, product or quotient of sizes.

    >>> parsed("hidden_size / heads")
    ('/', 'hidden_size', 'heads')
    """
    try:
        return _read(ast.parse(str(written), mode="eval").body)
    except (SyntaxError, KeyError):
        raise ValueError(
            f"an extent was given as {written!r}, expected sums, differences, products and quotients of sizes and "
            f"whole numbers, such as 'hidden_size / heads'."
        ) from None


def _read(node: ast.expr) -> Extent:
    """KeyError for what belongs to no extent."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.BinOp):
        return SIGNS[type(node.op)], _read(node.left), _read(node.right)
    raise KeyError(type(node))


def names_in(extent: Extent) -> list[str]:
    """The names in an extent, from left to right.

    >>> names_in(parsed("hidden_size / heads"))
    ['hidden_size', 'heads']
    """
    if isinstance(extent, tuple):
        return [*names_in(extent[1]), *names_in(extent[2])]
    return [extent] if isinstance(extent, str) else []


def value_of(extent: Extent, values: Mapping[str, Any]) -> int:
    """The number that an extent stands for. Raises ValueError where that is no whole number from 0 on.

    >>> value_of(parsed("hidden_size / heads"), {"hidden_size": 12, "heads": 4})
    3
    """
    found = _value(extent, values)
    if found < 0:
        raise ValueError(f"{in_words(extent)} is {found} for {_given(extent, values)}, expected 0 at least.")
    return found


def _value(extent: Extent, values: Mapping[str, Any]) -> int:
    if isinstance(extent, int):
        return extent
    if isinstance(extent, str):
        if not isinstance(values[extent], int):
            raise ValueError(f"{extent} is {values[extent]!r}, expected a whole number.")
        return int(values[extent])
    sign, a, b = extent[0], _value(extent[1], values), _value(extent[2], values)
    if sign == "/":
        if b < 1 or a % b:
            raise ValueError(f"{in_words(extent)} is no whole number for {_given(extent, values)}.")
        return a // b
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def in_words(extent: Extent) -> str:
    """An extent in words.

    >>> in_words(parsed("(hidden_size + 2) / heads"))
    '(hidden_size + 2) / heads'
    """
    if not isinstance(extent, tuple):
        return str(extent)
    sign, *parts = extent
    left, right = (f"({in_words(part)})" if isinstance(part, tuple) else in_words(part) for part in parts)
    return f"{left} {sign} {right}"


def _given(extent: Extent, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {values[name]}" for name in dict.fromkeys(names_in(extent)))
