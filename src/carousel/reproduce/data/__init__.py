"""Readers of the data sets that experiments are given with ``--data``."""
