"""An experiment of milliseconds, whose trials keep their state and die where they are told to."""

import os
import signal

import torch

from carousel.reproduce import (
    AS_PUBLISHED,
    REMEMBERED,
    TODAY,
    Axes,
    Experiment,
    Figure,
    Measure,
    Quick,
    Setting,
    Work,
)

STEPS = 6


def walk(work: Work, *, drift: float, steps: int = STEPS) -> list[dict]:
    """A random walk a seed; TINY_DIES is seed,step at which the process kills itself, TINY_STOPS where Ctrl-C comes."""
    state = work.load() or {
        "step": 0,
        "place": 0.0,
        "path": [],
        "random": torch.Generator().manual_seed(work.seed).get_state(),
    }
    generator = torch.Generator()
    generator.set_state(state["random"])
    while state["step"] < steps:
        state["place"] += drift + torch.randn((), generator=generator).item()
        state["path"].append((state["step"], state["place"]))
        state["step"] += 1
        work.save({**state, "random": generator.get_state()})
        work.progress(state["step"] / steps, f"at {state['place']:.2f}")
        here = f"{work.seed},{state['step']}"
        if os.environ.get("TINY_DIES") == here:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("TINY_STOPS") == here:
            raise KeyboardInterrupt
    solved = state["place"] > 0
    found = {"solved": int(solved), "place": state["place"], "never": float("nan"), "path": state["path"]}
    return [{**found, "steps": 100 * state["place"]} if solved else found]


tiny = Experiment(
    name="tiny",
    title="A walk that drifts",
    citation="Nobody, nowhere.",
    run=walk,
    measures=(Measure("steps", "lower", "count"), Measure("solved", "higher", "share"), Measure("place", "higher")),
    settings=(
        Setting("still", "no drift", {"drift": 0.0}, paper={"place": Figure(100.0), "steps": Figure(1e6)},
                quick={"drift": 0.5}, explanation="It has nowhere to go."),
        Setting("uphill", "drift 1", {"drift": 1.0}, TODAY, {"place": Figure(0.5, REMEMBERED, "about")}, trials=3),
        Setting("downhill", "drift -9", {"drift": -9.0}, AS_PUBLISHED, {"steps": Figure(3.0)}),
    ),
    trials=4,
    quick=Quick(2, "the drift", ("still", "uphill")),
    curves={"path": Axes("step", "place")},
)  # fmt: skip
