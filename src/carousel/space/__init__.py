"""Scans whose rows are positions: images under convolution, and grids that are walked a diagonal at a time."""
