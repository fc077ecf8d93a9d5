"""Which of the two forms of a search runs: the compiled one, or the plain one in Python that explains it.

They are chosen as a layer's engine is: the compiled core where it is there; `carousel.use_engine("eager")` asks for
plain Python, `carousel.use_engine("native")` for the core or an error.
"""

from __future__ import annotations

from typing import Any

from carousel import engines
from carousel.engines import native_call


def core(name: str) -> Any:
    """The compiled core, or None where plain Python is to run. ValueError for an engine that cannot."""
    asked = engines.asked()
    if asked not in ("auto", "native", "eager"):
        raise ValueError(f'{name}: engine="{asked}" runs layers only. Use "auto", "native" or "eager".')
    if asked == "native" and native_call.MISSING:
        raise ValueError(f'{name}: engine="native" cannot run this: {native_call.MISSING}. Use "auto".')
    return None if asked == "eager" else native_call._core
