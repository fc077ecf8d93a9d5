"""What torch.compile may take for a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)


def constant(function: Function) -> Function:
    """Tells torch.compile that a function's result depends on nothing that it traces, and need not be traced.

    This is what `torch.compiler.assume_constant_result` does, which takes a second at the import of the package: it
    loads the compiler, which most processes never use. That both do the same is tested by what is compiled.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
