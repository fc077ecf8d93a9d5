"""Cells made of cells: a traced step copied with changes, and run again inside another."""
