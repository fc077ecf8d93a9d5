"""`python -m benchmarks`: see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
from pathlib import Path

import torch

from benchmarks import memory, report, rivals, timing
from benchmarks.grid import QUICK, SHAPES, Shape, as_plain, parse

RESULTS = Path(__file__).parent / "results"
WITH_MEMORY = (rivals.BASELINE, *report.OURS)


def main() -> None:
    options = arguments()
    names = [rivals.BASELINE, *(n for n in options.rivals if n != rivals.BASELINE)]
    if not options.shapes:
        options.shapes = QUICK if options.quick else SHAPES
    try:
        equality(names)
        rows = [row for threads in options.threads for row in grid(options, names, threads)]
    except timing.Disagreement as error:
        raise SystemExit(f"benchmarks: {error}") from None
    results = {"about": about(options), "shapes": [as_plain(s) for s in options.shapes], "rows": rows}
    text = report.markdown(results)
    print("\n" + text)
    save(options, results, text)


def arguments() -> argparse.Namespace:
    known = rivals.available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny shapes, short: does it run at all")
    parser.add_argument("--shapes", nargs="+", type=parse, metavar="T,B,I,H", help="these shapes instead of the grid")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--rivals", nargs="+", choices=known, default=known, help="sides beside torch.nn.LSTM")
    parser.add_argument("--pairs", type=int, help="fresh pairs per shape (default 5; 2 with --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    options.pairs = options.pairs or (2 if options.quick else 5)
    options.seconds = 0.05 if options.quick else 2.0
    options.weighed = 1 if options.quick else None  # how many shapes to measure the memory of: a process a side
    if (most := max(options.threads)) > len(timing.PROCESSORS):
        parser.error(f"--threads {most}: this process may use {len(timing.PROCESSORS)} processors")
    return options


def equality(names: list[str]) -> None:
    """Every side against the Python loop, on small shapes with everything in them, in float32 and (ours) float64."""
    for shape in QUICK:
        torch._dynamo.reset()
        timing.make(shape, names, seed=7)
        timing.make(shape, [n for n in names if n in WITH_MEMORY], seed=8, dtype=torch.float64)
    print(f"equality on {len(QUICK)} small shapes: every side agrees with the Python loop", flush=True)


def grid(options: argparse.Namespace, names: list[str], threads: int) -> list[dict]:
    rows = []
    for shape in options.shapes:
        measured = timing.measure(shape, names, threads, options.pairs, options.seconds)
        for row in measured:
            if (
                row["side"] in WITH_MEMORY
                and threads == options.threads[-1]
                and shape in options.shapes[: options.weighed]
            ):
                row["megabytes"] = memory.measure(shape, row["side"], row["mode"], threads)
        rows += measured
        progress(shape, threads, measured)
    return rows


def progress(shape: Shape, threads: int, rows: list[dict]) -> None:
    for mode in timing.MODES:
        cells = [f"{r['side']} {r['milliseconds']:.3g} ms x{r['ratio']:.2f}" for r in rows if r["mode"] == mode]
        print(f"{shape.name} {threads} thread(s), {mode}: " + ", ".join(cells), flush=True)


def about(options: argparse.Namespace) -> dict:
    import carousel

    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "processors": len(timing.PROCESSORS),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "carousel": carousel.__version__,
        "variant": carousel.info().variant,
        "threads": options.threads,
        "pairs": options.pairs,
    }


def cpu() -> str:
    """The processor's model, and its family, which tells apart what clouds call by one name."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", info.read_text().split("\n\n")[0], re.MULTILINE))
    return f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family', '?')})"


def save(options: argparse.Namespace, results: dict, text: str) -> None:
    """Writes FILE and FILE.md; without --json a full run goes to benchmarks/results, a quick one nowhere."""
    target = options.json
    if target is None:
        if options.quick:
            return
        short = re.sub(r"[^a-z0-9]+", "-", results["about"]["cpu"].lower()).strip("-")
        target = RESULTS / f"{results['about']['date']}-{short}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + os.linesep)
    target.with_suffix(".md").write_text(text)
    print(f"written: {target}, {target.with_suffix('.md')}")


if __name__ == "__main__":
    main()
