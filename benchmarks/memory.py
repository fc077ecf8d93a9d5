"""Peak memory of one side in training: what a fresh process takes at most above what it held before the call.

`python -m benchmarks.memory SIDE SHAPE THREADS` prints megabytes; `measure` runs it. A process of its own, since
allocators keep what they were given once.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.grid import Shape

STATUS = Path("/proc/self/status")


def measure(shape: Shape, side: str, threads: int) -> float:
    """Peak megabytes of two calls in a row, forward and backward, of a side at a shape."""
    command = [sys.executable, "-m", "benchmarks.memory", side, json.dumps(vars(shape)), str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def held(field: str) -> float:
    """A field of the process's status (VmRSS, VmHWM) in megabytes; the peak so far where there is no such file."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Sets the high-water mark back to what is held now (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def main(side: str, fields: str, threads: str) -> None:
    from benchmarks import agreement, grid, loops, timing
    from benchmarks.rivals import RIVALS

    timing.use_threads(int(threads))
    values = json.loads(fields)
    shape = Shape(**{**values, "ragged": tuple(values["ragged"]) if values["ragged"] else None})
    small = Shape(4, 2, 3, 5, shape.bidirectional)
    agreement.make(small, [side], seed=0)[side].training()  # libraries loaded, threads started
    call = RIVALS[side].make(shape, grid.draw(shape, 0), loops.draw_weights(shape, 0)).training
    forget_peak()
    before = held("VmRSS")
    result = call()
    del result
    call()
    print(held("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
