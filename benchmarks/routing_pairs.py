"""Public answers of a weak and a strong model, and what a score makes of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import rounded
from benchmarks.router_training.logistic import fitted_logistic
from homeport import GenerationRequest, TextPrompt
from homeport_routers.complexity_score import ComplexityScore
from homeport_routers.config import ComplexityConfig
from homeport_routers.features import features
from homeport_routers.prompt_text import question
from homeport_routers.task_reader import TaskReader

_FILE = "gsm8k_responses.jsonl"
_FOLDS = 5
_SEED = 7
_INTERVAL_PERCENT = (2.5, 97.5)

Array = NDArray[np.float64]


def shipped_scores(questions: Sequence[str]) -> list[float]:
    """Score questions as the router ``complexity`` does with its defaults."""
    reader, scorer = TaskReader(ComplexityConfig().sure), ComplexityScore()
    found = []
    for text in questions:
        request = GenerationRequest(id="benchmark", model="auto", prompt=TextPrompt(text))
        found.append(scorer.score(question(request), reader.task(request))[0])
    return found


@attrs.frozen(eq=False)
class Marked:
    """Marks of both models, 0 or 1 for each question."""

    weak: Array
    strong: Array

    def apgr(self, scores: Sequence[float], resamples: int) -> dict[str, object]:
        """Give the average part of the gap that a score recovers, with its bootstrap interval."""
        values, gain = np.array(scores), self.strong - self.weak
        random = np.random.default_rng(_SEED)
        drawn = []
        for _ in range(resamples):
            places = random.integers(0, len(gain), len(gain))
            drawn.append(_area(values[places], gain[places]))
        low, high = np.percentile(drawn, _INTERVAL_PERCENT)
        return {
            "questions": len(gain),
            "apgr": rounded(_area(values, gain)),
            "low": rounded(float(low)),
            "high": rounded(float(high)),
        }

    def point(self, scores: Sequence[float], share: float) -> dict[str, object]:
        """Tell what comes of sending a share of the questions, those of the highest scores, to the strong."""
        order = np.argsort(-np.array(scores), kind="stable")
        chosen = order[: round(share * len(order))]
        marks = self.weak.copy()
        marks[chosen] = self.strong[chosen]
        mixed = (1 - share) * self.weak.mean() + share * self.strong.mean()
        return {
            "strong_share": rounded(share),
            "quality": rounded(float(marks.mean())),
            "random_mix": rounded(float(mixed)),
        }


@attrs.frozen
class Pairs:
    """Questions, and for each kind of mark those of both models.

    Attributes:
        questions: Their texts.
        marks: By kind: the weak and the strong model's.
    """

    questions: tuple[str, ...]
    marks: Mapping[str, Marked]

    @staticmethod
    def are_in(folder: Path) -> bool:
        """Tell whether a folder has the answers."""
        return (folder / _FILE).is_file()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the answers' marks."""
        lines = (folder / _FILE).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        marks = {
            kind: Marked(
                np.array([float(record["weak"][kind]) for record in records]),
                np.array([float(record["strong"][kind]) for record in records]),
            )
            for kind in ("correct", "correct_final")
        }
        return cls(tuple(record["question"] for record in records), marks)

    def marked(self, kind: str) -> Marked:
        """Give one kind of marks."""
        return self.marks[kind]

    def cross_fitted(self, kind: str) -> list[float]:
        """Predict from the same features that the weak model fails, each fifth by a fit to the other four.

        It shows what the features could do at best; it is not shipped, and nothing of it is.
        """
        inputs = np.array([(*features(text), 1.0) for text in self.questions])
        failed = 1 - self.marks[kind].weak
        folds = np.random.default_rng(_SEED).permutation(len(failed)) % _FOLDS
        found = np.zeros(len(failed))
        for fold in range(_FOLDS):
            held = folds == fold
            found[held] = inputs[held] @ fitted_logistic(inputs[~held], failed[~held])
        return found.tolist()


def _area(scores: Array, gain: Array) -> float:
    """Integrate the recovered part of the gap over the share that the strong model gets."""
    order = np.argsort(-scores, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum(gain[order])]) / gain.sum()
    return float(np.trapezoid(recovered) / len(gain))
