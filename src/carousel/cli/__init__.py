"""The command line: ``carousel info``, ``carousel cells``, ``carousel forecast ...``, ``carousel reproduce``, ``carousel demo``."""

from carousel.cli.app import main

__all__ = ["main"]
