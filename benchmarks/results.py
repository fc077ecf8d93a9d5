"""Where results are kept: a dated file a processor, JSON and markdown, in which the parts that were run are put in the
place of the same parts run before."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from carousel.info import processor

RESULTS = Path(__file__).parent / "results"
KEY = ("part", "shape", "threads")


def about() -> dict[str, Any]:
    """What was measured, and on what."""
    import carousel

    return {
        "date": datetime.date.today().isoformat(),
        "cpu": processor(),
        "processors": len(timing.PROCESSORS),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "carousel": carousel.__version__,
        "variant": carousel.info().variant,
    }


def commit(folder: Path = RESULTS) -> str:
    """The state of the source that holds `folder`, where there is git to ask."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return run.stdout.strip()


def target(facts: dict[str, Any], kind: str = "") -> Path:
    """The file of a day and a processor; `kind` stands before them where there are several."""
    short = re.sub(r"[^a-z0-9]+", "-", facts["cpu"].lower()).strip("-")
    return RESULTS / f"{kind}{'-' * bool(kind)}{facts['date']}-{short}.json"


def newest(kind: str = "") -> dict[str, Any] | None:
    """The last results of a kind."""
    found = sorted(RESULTS.glob(f"{kind}-*.json" if kind else "[0-9]*.json"))
    return json.loads(found[-1].read_text()) if found else None


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The rows of both; where both measured the same shape of the same part with as many threads, the new ones."""
    fresh = {tuple(row[key] for key in KEY) for row in new["rows"]}
    kept = [row for row in old["rows"] if tuple(row[key] for key in KEY) not in fresh]
    rows = kept + new["rows"]
    there = {row["part"] for row in rows}
    missing = {part: why for part, why in (old["missing"] | new["missing"]).items() if part not in there}
    about = new["about"] | {"date": old["about"]["date"]}  # the file's; each row says when it was measured
    return {"about": about, "rates": old["rates"] | new["rates"], "missing": missing, "rows": rows}


def write(path: Path, results: dict[str, Any], markdown: Callable[[dict[str, Any]], str]) -> None:
    """Writes the file and the one of the same name with tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + os.linesep)
    path.with_suffix(".md").write_text(markdown(results))
    print(f"written: {path}, {path.with_suffix('.md')}")
