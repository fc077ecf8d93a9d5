"""Sizes: what is said of a name that is not known, the numbers given for sizes, and extents computed from them."""

from __future__ import annotations

import ast
import difflib
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
}


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
            raise ValueError(f"{name}: {size} is {value!r}, expected a positive whole number.")


def extent(written: int | str, values: Mapping[str, Any]) -> int:
    """The number that an extent such as "hidden_size / heads" stands for.

    Raises ValueError where it is no sum, difference, product or quotient of sizes, or no whole number from 0 on.

    >>> extent("hidden_size / heads", {"hidden_size": 12, "heads": 4})
    3
    """
    found = _value(_parsed(written), values, str(written))
    if found < 0:
        raise ValueError(f"{written} is {found} for {_given(_parsed(written), values)}, expected 0 at least.")
    return found


def names_in(written: int | str) -> list[str]:
    """The names in an extent, from left to right.

    >>> names_in("hidden_size / heads")
    ['hidden_size', 'heads']
    """
    return [node.id for node in ast.walk(_parsed(written)) if isinstance(node, ast.Name)]


def _parsed(written: int | str) -> ast.expr:
    try:
        return ast.parse(str(written), mode="eval").body
    except SyntaxError:
        raise ValueError(f"an extent was given as {written!r}, expected such as 'hidden_size / heads'.") from None


def _value(node: ast.expr, values: Mapping[str, Any], written: str) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name) and isinstance(values.get(node.id), int):
        return int(values[node.id])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        a, b = (_value(part, values, written) for part in (node.left, node.right))
        if isinstance(node.op, ast.Div) and (b < 1 or a % b):
            raise ValueError(f"{written} is no whole number for {_given(node, values)}.")
        return _OPERATIONS[type(node.op)](a, b)
    known = ", ".join(name for name, value in values.items() if isinstance(value, int))
    raise ValueError(f"an extent was given as {written!r}, expected sums and products of numbers and of {known}.")


def _given(node: ast.expr, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {values[name]}" for name in dict.fromkeys(names_in(ast.unparse(node))))
