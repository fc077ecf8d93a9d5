"""The command line: ``carousel info | cells | forecast | reproduce | demo``."""

from carousel.cli.app import main

__all__ = ["main"]
