"""`python -m benchmarks`: see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks import agreement, cells, report, results, timing
from benchmarks.grid import QUICK, Shape, parse
from benchmarks.parts import LOOPS, LSTM, PARTS, PEEPHOLE, Budget, Part, measure


def main() -> None:
    options = arguments()
    agreement.tests(options.quick)
    missing = {name: why for name in options.parts if (why := PARTS[name].missing())}
    parts = [name for name in options.parts if name not in missing]
    try:
        equality(list(dict.fromkeys(side for name in parts for side in small_sides(PARTS[name]))))
        found = [row for threads in options.threads for name in parts for row in rows(options, name, threads)]
    except timing.Disagreement as error:
        raise SystemExit(f"benchmarks: {error}") from None
    about = results.about()
    if not options.quick:
        found += of_cells(about)
    report_on({"about": about, "rates": rates(options.threads), "missing": missing, "rows": found}, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny shapes, short, few tests: does it run at all")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all")
    parser.add_argument("--shapes", nargs="+", type=parse, metavar="T,B,I,H", help="these shapes instead of the parts'")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--pairs", type=int, help="fresh pairs per shape (default: 3, or 2 where rivals are slow)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    options.budget = Budget(0.05, options.pairs or 1, weighed=1) if options.quick else Budget(pairs=options.pairs)
    if (most := max(options.threads)) > len(timing.PROCESSORS):
        parser.error(f"--threads {most}: this process may use {len(timing.PROCESSORS)} processors")
    return options


def small_sides(part: Part) -> list[str]:
    return [] if part.elsewhere else [side for side in part.sides if side not in LOOPS]


def equality(names: list[str]) -> None:
    """Sides against the Python loop, on small shapes with everything in them, in float32 and (ours) float64. The other
    loops take long to compile, and are compared on the data timed alone."""
    for shape in QUICK:
        agreement.make(shape, names, seed=7)
        agreement.make(shape, [LSTM, PEEPHOLE], seed=8, dtype=torch.float64)
    print(f"equality on {len(QUICK)} small shapes: every side agrees with the Python loop", flush=True)


def rows(options: argparse.Namespace, name: str, threads: int) -> list[dict[str, Any]]:
    """All shapes of a part. Peak memory is taken with the most threads only: it hardly depends on them."""
    found = []
    when = f"{datetime.datetime.now():%Y-%m-%d %H:%M} of {results.commit()}"
    for k, shape in enumerate(options.shapes or ([PARTS[name].quick] if options.quick else PARTS[name].shapes)):
        weigh = threads == max(options.threads) and (options.budget.weighed is None or k < options.budget.weighed)
        measured = measure(name, shape, threads, options.budget, weigh)
        progress(name, shape, threads, measured)
        found += [row | {"measured": when} for row in measured]
    return found


def progress(name: str, shape: Shape, threads: int, rows: list[dict[str, Any]]) -> None:
    for mode in dict.fromkeys(row["mode"] for row in rows):
        cells = [f"{row['side']} {report.cell(row)}" for row in rows if row["mode"] == mode]
        print(f"{name} {shape.name} {threads} thread(s), {mode}: " + ", ".join(cells), flush=True)


def rates(counts: list[int]) -> dict[str, float]:
    """GFLOP/s of a float32 `torch.mm`, by the number of threads."""
    found = {}
    for threads in counts:
        timing.use_threads(threads)
        found[str(threads)] = timing.matmul_rate() / 1e9
    return found


def of_cells(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What `benchmarks.cells` and `benchmarks.rivals_of_cells` last found on this processor, for the marks of other
    cells."""
    rows: list[dict[str, Any]] = []
    for kind, taken in (("cells", cells.compared), ("loops", lambda found: found["rows"])):
        found = results.newest(kind)
        if found and found["about"]["cpu"] == about["cpu"]:
            rows += taken(found)
    return rows


def report_on(found: dict[str, Any], options: argparse.Namespace) -> None:
    """Prints the report and writes FILE and FILE.md. Where the file is there, other parts and shapes in it stay."""
    target = options.json or (None if options.quick else kept_in(found["about"], options))
    if target and target.exists():
        found = results.merge(json.loads(target.read_text()), found)
    print("\n" + report.markdown(found))
    if target:
        results.write(target, found, report.markdown)


def kept_in(about: dict[str, Any], options: argparse.Namespace) -> Path:
    """A full run has a file of its own day; some parts or shapes go into this processor's last one, on whatever day."""
    last = results.newest()
    whole = options.parts == list(PARTS) and not options.shapes
    return results.target(about if whole or not last or last["about"]["cpu"] != about["cpu"] else last["about"])


if __name__ == "__main__":
    main()
