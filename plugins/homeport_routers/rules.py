"""Routes by rules that an operator wrote."""

import re
from collections.abc import Sequence

import attrs

from homeport import Candidate, Request
from homeport_routers.capability import Level, capability, levels
from homeport_routers.config import RuleConfig, RulesConfig
from homeport_routers.groups import noted, parts_by, within_groups
from homeport_routers.prompt_text import about_tokens, searched
from homeport_routers.task_reader import TaskReader
from homeport_routers.task_type import normal_task

_DEFAULT_TAG = ":latest"
_LOCAL = "local"
_REMOTE = "remote"
_WHOLE_WORDS = r"(?<![^\W_])(?:{})(?![^\W_])"
"""Neither a letter nor a digit stands before or behind; takes time in proportion to the text."""


class Rules:
    """Applies the first rule that holds.

    Args:
        config: The rules.
    """

    def __init__(self, config: RulesConfig) -> None:
        self._rules = tuple(_Rule(name, _lowered(rule)) for name, rule in config.rule.items())
        self._reader = TaskReader(config.sure)

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order or refuse candidates as the first rule says whose conditions hold.

        Raises:
            LoadError: The classifier of tasks was needed, and its file is damaged.
        """
        facts = _Facts(request, self._reader)
        for rule in self._rules:
            if facts.fulfil(rule):
                return _applied(rule.name, rule.config, candidates)
        return candidates


@attrs.frozen
class _Rule:
    """A rule, its names spelt as they are compared.

    Attributes:
        name: As in the settings.
        config: Conditions and what follows.
        words: Finds any of its words; None where it has none.
    """

    name: str
    config: RuleConfig
    words: re.Pattern[str] | None = attrs.field(init=False)

    @words.default
    def _compile(self) -> re.Pattern[str] | None:
        words = self.config.words
        return re.compile(_WHOLE_WORDS.format("|".join(map(re.escape, words)))) if words else None


class _Facts:
    """What rules ask of a request, each found out when a rule first wants it."""

    def __init__(self, request: Request, reader: TaskReader) -> None:
        self._request = request
        self._reader = reader
        self._task: str | None = None
        self._text: str | None = None
        self._tokens: int | None = None

    def fulfil(self, rule: _Rule) -> bool:
        """Tell whether all conditions hold, the cheap ones first."""
        config = rule.config
        return (
            self._names(config) and self._length(config) and self._words(rule.words) and self._tasks(config)
        )

    def _names(self, rule: RuleConfig) -> bool:
        terms = self._request.terms
        asked = self._request.model.casefold()
        return (
            (not rule.tags or any(tag.casefold() in rule.tags for tag in terms.tags))
            and (not rule.agents or terms.agent.casefold() in rule.agents)
            and (not rule.models or bool({asked, asked.removesuffix(_DEFAULT_TAG)} & set(rule.models)))
        )

    def _length(self, rule: RuleConfig) -> bool:
        if not (rule.least_tokens or rule.most_tokens):
            return True
        if self._tokens is None:
            self._tokens = about_tokens(self._request)
        return rule.least_tokens <= self._tokens <= (rule.most_tokens or self._tokens)

    def _words(self, words: re.Pattern[str] | None) -> bool:
        if words is None:
            return True
        if self._text is None:
            self._text = searched(self._request)
        return words.search(self._text) is not None

    def _tasks(self, rule: RuleConfig) -> bool:
        if not rule.tasks:
            return True
        if self._task is None:
            self._task = self._reader.task(self._request)
        return self._task in rule.tasks


def _lowered(rule: RuleConfig) -> RuleConfig:
    """Spell names of a rule as they are compared."""
    return attrs.evolve(
        rule,
        tasks=tuple(map(normal_task, rule.tasks)),
        tags=_casefolded(rule.tags),
        agents=_casefolded(rule.agents),
        models=_casefolded(rule.models),
        words=tuple(word.strip().lower() for word in rule.words),
        prefer=_casefolded(rule.prefer),
        only=_casefolded(rule.only),
    )


def _casefolded(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.casefold() for name in names)


def _applied(name: str, rule: RuleConfig, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    if rule.refuse:
        return ()
    known = {
        _key(each): _names(each, level) for each, level in zip(candidates, levels(candidates), strict=True)
    }

    def place(candidate: Candidate) -> int:
        return _place(known[_key(candidate)], rule.prefer)

    left = [each for each in candidates if not rule.only or known[_key(each)] & set(rule.only)]
    if rule.critical:
        told = [noted(each, f"rule {name!r}: critical") for each in left]
        return within_groups(told, lambda group: parts_by(group, capability)[::-1])
    told = [noted(each, _note(name, rule.prefer, place(each))) for each in left]
    return within_groups(told, lambda group: parts_by(group, place))


def _key(candidate: Candidate) -> tuple[str, str]:
    return candidate.backend, candidate.model.name


def _names(candidate: Candidate, level: Level) -> frozenset[str]:
    """List the names that mean a candidate; its class counts as a tier where it was not found in one."""
    model, backend = candidate.model.name.casefold(), candidate.backend.casefold()
    names = {
        candidate.standing.tier or level.name.lower(),
        backend,
        _REMOTE if candidate.model.is_remote else _LOCAL,
    }
    for spelling in (model, model.removesuffix(_DEFAULT_TAG)):
        names |= {spelling, f"{backend}/{spelling}"}
    return frozenset(names)


def _place(known: frozenset[str], names: Sequence[str]) -> int:
    """Give the place of the first name that is known, or how many names there are."""
    return next((place for place, name in enumerate(names) if name in known), len(names))


def _note(name: str, prefer: Sequence[str], place: int) -> str:
    return f"rule {name!r}" + (f": {prefer[place]}" if place < len(prefer) else "")
