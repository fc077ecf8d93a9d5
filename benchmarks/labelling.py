"""`python -m benchmarks.labelling`: recognition beside fast-ctc-decode and pyctcdecode, in one process, one thread.

All sides read the same posteriors, each in the form that it takes, and return one transcript. How often it is ours is
counted before anything is timed. pyctcdecode takes part where it is installed: its requirements do not go with those of
the tests, but it runs without them (`pip install --no-deps pyctcdecode pygtrie`).
"""

from __future__ import annotations

import argparse
import importlib
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import carousel as ca
from benchmarks import results, timing

OURS = "carousel"
ALPHABET = ["", *"abcdefghijklmnopqrstuvwxyz'", " "]
CUT = 1e-3  # labels that are less probable at a frame are not tried, by any side
SAMPLES = 8


class Way(NamedTuple):
    """One side: `forward` recognises all samples."""

    forward: Callable[[], list[str]]


class Case(NamedTuple):
    name: str
    sides: Callable[[list[Tensor]], dict[str, Way]]
    posteriors: Callable[[int, int], Tensor]
    frames: int


def peaky(T: int, seed: int) -> Tensor:
    """Log-probabilities (T, K) as trained nets give them: blanks, now and then a label, seldom in doubt."""
    draw, K = torch.Generator().manual_seed(seed), len(ALPHABET)
    scores = torch.randn(T, K, generator=draw)
    scores[:, 0] += 8
    spoken = torch.randperm(T, generator=draw)[: T // 5]
    scores[spoken, torch.randint(1, K, (len(spoken),), generator=draw)] += 13
    return scores.log_softmax(-1)


def flat(T: int, seed: int) -> Tensor:
    """Log-probabilities (T, K) of a net that knows little."""
    return (2 * torch.randn(T, len(ALPHABET), generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def plain(text: str) -> str:
    """Without the spaces that one of the sides drops at the ends and in a row."""
    return " ".join(text.split())


def best_path(samples: list[Tensor]) -> dict[str, Way]:
    fast = importlib.import_module("fast_ctc_decode")
    arrays, decoder = [sample.exp().numpy() for sample in samples], ca.BestPath()
    letters = "-" + "".join(ALPHABET)
    return {
        OURS: Way(lambda: [plain(decoder(sample)[0].text(ALPHABET)) for sample in samples]),
        "fast-ctc-decode": Way(lambda: [plain(fast.viterbi_search(array, letters)[0]) for array in arrays]),
    }


def beam(width: int) -> Callable[[list[Tensor]], dict[str, Way]]:
    def sides(samples: list[Tensor]) -> dict[str, Way]:
        fast = importlib.import_module("fast_ctc_decode")
        arrays, decoder = [sample.exp().numpy() for sample in samples], ca.BeamSearch(width, threshold=CUT)
        letters = "-" + "".join(ALPHABET)
        found = {
            OURS: Way(lambda: [plain(decoder(sample)[0].text(ALPHABET)) for sample in samples]),
            "fast-ctc-decode": Way(
                lambda: [plain(fast.beam_search(array, letters, width, CUT)[0]) for array in arrays]
            ),
        }
        return found | pyctcdecode(samples, width)

    return sides


def pyctcdecode(samples: list[Tensor], width: int) -> dict[str, Way]:
    logging.disable(logging.WARNING)  # that there is no KenLM
    try:
        made = importlib.import_module("pyctcdecode").build_ctcdecoder(ALPHABET)
    except ImportError:
        return {}
    finally:
        logging.disable(logging.NOTSET)
    arrays, least = [sample.numpy() for sample in samples], math.log(CUT)
    given = {"beam_width": width, "beam_prune_logp": -1e9, "token_min_logp": least, "prune_history": False}
    return {"pyctcdecode": Way(lambda: [plain(made.decode_beams(array, **given)[0][0]) for array in arrays])}


CASES = [
    Case("best path, T 1000, peaky", best_path, peaky, 1000),
    Case("beam 10, T 500, peaky", beam(10), peaky, 500),
    Case("beam 100, T 500, peaky", beam(100), peaky, 500),
    Case("beam 10, T 100, flat", beam(10), flat, 100),
    Case("beam 100, T 100, flat", beam(100), flat, 100),
]


def measure(case: Case, seconds: float) -> list[dict[str, Any]]:
    """One row a side: milliseconds a transcript, the time over ours, and how many transcripts are ours."""
    samples = [case.posteriors(case.frames, seed) for seed in range(SAMPLES)]
    sides = case.sides(samples)
    said = {name: way.forward() for name, way in sides.items()}
    times = timing.race(sides, "forward", seconds)
    rows = []
    for name, taken in times.items():
        same = sum(one == ours for one, ours in zip(said[name], said[OURS], strict=True))
        row = {"case": case.name, "side": name, "ms": 1e3 * taken / SAMPLES, "ratio": taken / times[OURS], "same": same}
        rows.append(row)
        print(
            f"{case.name}: {name} {row['ms']:.3g} ms, {row['ratio']:.2f} of ours, {same} of {SAMPLES} alike", flush=True
        )
    return rows


def markdown(found: dict[str, Any]) -> str:
    facts = found["about"]
    lines = [
        f"{facts['cpu']}, {facts['date']}, PyTorch {facts['torch']}, Carousel {facts['carousel']}, one thread. "
        f"Milliseconds a transcript of {len(ALPHABET)} labels: medians of interleaved rounds over {SAMPLES} samples; "
        f"in brackets the time over ours. No language model; labels below {CUT:g} are not tried. pyctcdecode keeps the "
        "ways to a transcript that end in a blank apart from those that end in a label, and takes the better of the "
        "two; the other two add them up.",
        "",
        "| | side | ms | transcripts like ours |",
        "|---|---|---:|---:|",
    ]
    for row in found["rows"]:
        same = f"{row['same']} of {SAMPLES}"
        lines.append(f"| {row['case']} | {row['side']} | {row['ms']:.3g} ({row['ratio']:.2f}) | {same} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short: does it run at all")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (default: benchmarks/results)")
    options = parser.parse_args()
    timing.use_threads(1)
    rows = [row for case in CASES for row in measure(case, 0.05 if options.quick else options.seconds)]
    facts = results.about()
    if options.json or not options.quick:  # a quick run is kept only where it is told to
        results.write(options.json or results.target(facts, "labelling"), {"about": facts, "rows": rows}, markdown)


if __name__ == "__main__":
    main()
