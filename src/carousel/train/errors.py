"""What goes wrong when training is set up."""


class TrainingError(ValueError):
    """A fault in what a user gave the trainer: what was found, what was expected, and the fix."""
