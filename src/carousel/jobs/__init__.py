"""Jobs: what a user does with a trained memory, from a file to a result."""


class JobError(ValueError):
    """A fault in what the user gave a job: one line that says what was found, what was expected, and the fix.

    The command line prints it and ends with exit code 2.
    """


__all__ = ["JobError"]
