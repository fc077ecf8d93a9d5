"""What a mapping from names of parameters, or patterns of such, says of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def lookup(patterns: Mapping[str, Any], name: str) -> Any:
    """What is said of `name`, or None: the name itself first, then the first pattern that fits, such as `U_*`.

    >>> lookup({"U_*": 1.0, "U_f": 2.0}, "U_f"), lookup({"U_*": 1.0}, "b_f")
    (2.0, None)
    """
    if name in patterns:
        return patterns[name]
    return next((value for pattern, value in patterns.items() if fnmatchcase(name, pattern)), None)


def override(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Two such mappings as one, in which `outer` has the last word on every name of `inner`.

    >>> override({"b_f": 1.0, "b_i": 2.0}, {"b_f*": 0.0})
    {'b_i': 2.0, 'b_f*': 0.0}
    """
    return {**{name: value for name, value in inner.items() if lookup(outer, name) is None}, **outer}
