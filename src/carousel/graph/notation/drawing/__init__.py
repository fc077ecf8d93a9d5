"""A cell's step as a picture: what flows where, and which values are gates."""

from carousel.graph.notation.drawing.flow import Box, Flow, flow_of
from carousel.graph.notation.drawing.svg import draw

__all__ = ["Box", "Flow", "draw", "flow_of"]
