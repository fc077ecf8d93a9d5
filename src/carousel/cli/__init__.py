"""The command line: ``carousel info``, ``carousel forecast ...``, ``carousel demo``."""

from carousel.cli.app import main

__all__ = ["main"]
