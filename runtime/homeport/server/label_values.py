"""Values of a label, few enough to count by."""

UNKNOWN = "unknown"
"""Stands for all that are not told apart."""


class LabelValues:
    """Tells the first values apart, and takes all later ones for one.

    Args:
        most: How many are told apart.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def known(self, value: str) -> str:
        """Give the value itself, or ``unknown`` where there are too many already."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return UNKNOWN
        self._known.add(value)
        return value
