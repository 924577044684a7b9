"""How often the classifier is right about prompts that nothing was trained with."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.figures import rounded
from benchmarks.router_training.prompts import Prompt
from homeport_routers.config import ComplexityConfig
from homeport_routers.task_classifier import TaskClassifier
from homeport_routers.task_reader import LEAST_KNOWN
from homeport_routers.task_type import TaskType

_SURE = ComplexityConfig().sure


def held_out_scores(classifier: TaskClassifier, prompts: Sequence[Prompt]) -> dict[str, float]:
    """Compare guesses with labels.

    Args:
        classifier: What guesses.
        prompts: With labels.

    Returns:
        ``macro_f1`` (the mean over types of the harmonic mean of precision and recall) and ``accuracy``
        without abstaining, ``f1 TYPE`` for each type, ``answered`` (share of prompts for which it does not
        abstain, with the settings' defaults) and ``accuracy_answered``.
    """
    guesses = [classifier.guess(prompt.text) for prompt in prompts]
    pairs = Counter((prompt.task, guess.task) for prompt, guess in zip(prompts, guesses, strict=True))
    each = {task: _f1(pairs, task) for task in TaskType}
    answered = [
        prompt.task == guess.task
        for prompt, guess in zip(prompts, guesses, strict=True)
        if guess.probability >= _SURE and guess.known >= LEAST_KNOWN
    ]
    right = sum(count for (task, guess), count in pairs.items() if task == guess)
    return {
        "prompts": len(prompts),
        "macro_f1": rounded(sum(each.values()) / len(each)),
        "accuracy": rounded(right / len(prompts)),
        **{f"f1 {task}": rounded(value) for task, value in each.items()},
        "answered": rounded(len(answered) / len(prompts)),
        "accuracy_answered": rounded(sum(answered) / max(1, len(answered))),
    }


def _f1(pairs: Counter[tuple[TaskType, TaskType]], task: TaskType) -> float:
    right = pairs[task, task]
    said = sum(count for (_, guess), count in pairs.items() if guess == task)
    were = sum(count for (label, _), count in pairs.items() if label == task)
    return 2 * right / (said + were) if said + were else 0.0
