"""Formulas on pages and on screens: the LaTeX that `cell.latex()` writes, as MathML, as plain text, as words of SVG."""

from carousel.graph.notation.typeset.mathml import mathml, mathml_of_equations
from carousel.graph.notation.typeset.parse import parse
from carousel.graph.notation.typeset.plain import plain_text, runs

__all__ = ["mathml", "mathml_of_equations", "parse", "plain_text", "runs"]
