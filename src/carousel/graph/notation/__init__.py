"""A step as people read it: LaTeX, MathML and plain text, drawings, gates, and what `print(cell)` says."""
