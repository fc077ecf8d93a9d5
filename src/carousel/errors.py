"""The errors that Carousel raises on its own account."""


class CellError(ValueError):
    """A mistake in a cell's equations, told with the line of the user's source, what was expected and the fix."""
