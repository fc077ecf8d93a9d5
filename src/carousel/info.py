"""What this installation can do: versions, engines and why one is missing, instruction set, threads."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from carousel import engines


@dataclass(frozen=True)
class Info:
    """What `info` found; printed, one line each."""

    version: str
    torch: str
    python: str
    system: str
    engines: dict[str, str | None]  # why it is missing, or None
    variant: str | None  # the instruction set that the native engine uses now
    variants: tuple[str, ...]  # those that this processor could run
    threads: int

    def __str__(self) -> str:
        lines = [f"carousel {self.version}, torch {self.torch}, Python {self.python}, {self.system}"]
        lines += [f"engine {name}: {reason or 'available'}" for name, reason in self.engines.items()]
        if self.variant:
            lines.append(f"instruction set: {self.variant} (of {', '.join(self.variants)})")
        lines.append(f"threads: {self.threads} (torch.get_num_threads)")
        return "\n".join(lines)


def info() -> Info:
    """What this installation can do.

    >>> info().engines["eager"] is None  # no reason why it is missing
    True
    """
    from carousel import __version__

    status = engines.status()
    variant, variants = None, ()
    if status.get("native", "missing") is None:
        core = import_module("carousel._core")
        variant, variants = core.variant(), tuple(core.variants())
    return Info(
        version=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        engines=status,
        variant=variant,
        variants=variants,
        threads=torch.get_num_threads(),
    )


def processor() -> str:
    """The processor's model, and its family, which tells apart what clouds call by one name."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", info.read_text().split("\n\n")[0], re.MULTILINE))
    return f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family', '?')})"
