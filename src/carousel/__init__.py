"""Carousel: a memory cell is its equations; everything else is derived from them."""

__version__ = "0.1.0"
