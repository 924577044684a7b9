"""Finds out what a request is about."""

from functools import cached_property

from homeport import EmbeddingRequest, Request
from homeport_routers.prompt_text import question
from homeport_routers.task_classifier import TaskClassifier
from homeport_routers.task_type import TaskType, normal_task

LEAST_KNOWN = 0.25
"""Of a text with a smaller share of known marks, as in another language, the classifier knows nothing."""


class TaskReader:
    """Asks the caller first, then the classifier, which is loaded when it is needed.

    Args:
        sure: Probability below which it abstains.
    """

    def __init__(self, sure: float) -> None:
        self._sure = sure

    def task(self, request: Request) -> str:
        """Name the type of a request's task; empty where nothing tells.

        Raises:
            LoadError: The classifier's file is damaged.
        """
        if request.terms.task:
            return normal_task(request.terms.task)
        if isinstance(request, EmbeddingRequest):
            return TaskType.EMBEDDING
        guess = self._classifier.guess(question(request))
        is_sure = guess.probability >= self._sure and guess.known >= LEAST_KNOWN
        return guess.task if is_sure else ""

    @cached_property
    def _classifier(self) -> TaskClassifier:
        return TaskClassifier.shipped()
