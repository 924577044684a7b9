"""The complexity of a request: how hard its text looks, moved by what it is about."""

from collections.abc import Mapping

from homeport_routers.difficulty import Difficulty
from homeport_routers.task_type import TaskType

TASK_SHIFTS: Mapping[str, float] = {
    TaskType.COMPLEX_REASONING: 0.15,
    TaskType.CODE_ANALYSIS: 0.1,
    TaskType.CODE_GENERATION: 0.1,
    TaskType.GENERAL_CHAT: -0.1,
    TaskType.EXTRACTION: -0.1,
    TaskType.SUMMARY: -0.1,
    TaskType.EMBEDDING: -0.2,
}
"""What a type of task adds to the score of the features; chosen, not fitted."""


class ComplexityScore:
    """Scores texts with the weights that ship with the plugin.

    Raises:
        LoadError: Their file is damaged.
    """

    def __init__(self) -> None:
        self._difficulty = Difficulty.shipped()

    def score(self, text: str, task: str) -> tuple[float, tuple[str, ...]]:
        """Give the complexity, 0 to 1, and the features that raise it most."""
        difficulty, names = self._difficulty.explain(text)
        return min(1.0, max(0.0, difficulty + TASK_SHIFTS.get(task, 0.0))), names
