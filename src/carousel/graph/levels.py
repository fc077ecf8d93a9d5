"""How often a value changes, its *level*: the first thing that every engine wants to know of a node."""

from __future__ import annotations

from collections.abc import Mapping

from carousel.graph.arguments import Side
from carousel.graph.step import Step

CONSTANT, SEQUENCE, STEP, LOOP = range(4)

LEAVES = {"parameter": CONSTANT, "number": CONSTANT, "input": STEP, "time": STEP, "state": LOOP}


def levels(step: Step, sides: Mapping[str, Side]) -> list[int]:
    """For each node CONSTANT (parameters alone), SEQUENCE (inputs given once), STEP (inputs given at each step) or LOOP
    (what reads a state waits for the step before).

    >>> from carousel.cells import elman
    >>> [elman.step.nodes[n].op for n, level in enumerate(levels(elman.step, elman.sides)) if level == STEP]
    ['input', 'matmul']
    """
    found: list[int] = []
    for node in step.nodes:
        if node.op == "side":
            found.append(SEQUENCE if sides[node.attr["name"]].kind == "sequence" else STEP)
        elif node.op in LEAVES:
            found.append(LEAVES[node.op])
        else:
            found.append(max(found[a] for a in node.args))
    return found
