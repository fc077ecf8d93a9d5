"""What the options of cells may be."""

from __future__ import annotations


def check_count(cell: str, *, least: int = 1, **options: object) -> None:
    """ValueError unless each of the options is a whole number, at least `least`.

    >>> check_count("tau_gru", delay=10)
    >>> check_count("tau_gru", delay=0)
    Traceback (most recent call last):
    ValueError: tau_gru: delay is 0, expected a whole number, at least 1.
    """
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{cell}: {name} is {value!r}, expected a whole number, at least {least}.")
