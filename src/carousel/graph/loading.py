"""Modules from a user's file: `my.py` becomes a module once, and is found again by its path."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

PREFIX = "carousel_file_"


def module_from(path: str) -> ModuleType:
    """The module of a Python file. Raises ValueError where there is no such file; its own errors come through."""
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}.")
    name = PREFIX + hashlib.sha256(path.encode()).hexdigest()[:16]
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{path} is not a Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def path_of(fn: Callable[..., Any]) -> str | None:
    """The file of a function whose module was made by `module_from`, else None."""
    return fn.__code__.co_filename if fn.__module__.startswith(PREFIX) else None
