"""Watching a net at work: how far its error flows back in time, and what its gates do."""

from carousel.watch.flow import error_flow
from carousel.watch.gates import plot_gates
from carousel.watch.result import ErrorFlow, LayerFlow

__all__ = ["ErrorFlow", "LayerFlow", "error_flow", "plot_gates"]
