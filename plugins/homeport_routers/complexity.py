"""Routes by how hard a request looks: simple ones to small models, complex ones to large ones."""

from collections.abc import Sequence
from functools import cached_property

import attrs

from homeport import Candidate, Request
from homeport_routers.capability import Level, is_same_model, levels
from homeport_routers.complexity_score import ComplexityScore
from homeport_routers.config import ComplexityConfig
from homeport_routers.groups import noted, parts_by, within_groups
from homeport_routers.prompt_text import question
from homeport_routers.task_reader import TaskReader


class Complexity:
    """Prefers tiers by a score of the last question.

    Args:
        config: Thresholds and preferences.
    """

    def __init__(self, config: ComplexityConfig) -> None:
        self._config = config
        self._reader = TaskReader(config.sure)

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order candidates of different classes; where there is one model only, there is nothing to choose.

        Raises:
            LoadError: A file of the plugin is damaged.
        """
        if all(is_same_model(candidates[0], each) for each in candidates):
            return candidates
        task = self._reader.task(request)
        score, features = self._scorer.score(question(request), task)
        band, tiers = self._band(score)
        reason = f"complexity {score:.2f} is {band} ({', '.join((task or 'task unknown', *features))})"
        told = [
            (_judged(each, score, f"{level.name.lower()}; {reason}"), _place(level, tiers))
            for each, level in zip(candidates, levels(candidates), strict=True)
        ]
        places = {id(each): place for each, place in told}
        return within_groups(
            [each for each, _ in told], lambda group: parts_by(group, lambda each: places[id(each)])
        )

    def _band(self, score: float) -> tuple[str, tuple[str, ...]]:
        config = self._config
        if score < config.standard_from:
            return "simple", config.simple
        if score < config.complex_from:
            return "standard", config.standard
        return "complex", config.complex

    @cached_property
    def _scorer(self) -> ComplexityScore:
        return ComplexityScore()


def _judged(candidate: Candidate, score: float, note: str) -> Candidate:
    return attrs.evolve(noted(candidate, note), complexity=score)


def _place(level: Level, tiers: Sequence[str]) -> int:
    """Tell which tier of a preference a level is; those it does not name come last."""
    name = level.name.lower()
    return tiers.index(name) if name in tiers else len(tiers)
