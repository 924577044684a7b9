"""Typed decisions: Ollama's ``/v1/systemone`` and OpenAI's ``/v1/decisions``."""

from typing import Annotated, Any

import msgspec

from homeport.server.schemas.responses import SentPart, Usage
from homeport.server.schemas.terms import RequestTerms

Content = str | dict[str, Any] | list[Any]
"""Text, or JSON that the model reads as text."""
Text = Annotated[str, msgspec.Meta(min_length=1)]


class NoulCriteria(msgspec.Struct, kw_only=True):
    """What yes and no stand for."""

    true: str | None = None
    false: str | None = None


class NoulQuestion(msgspec.Struct, tag="noul", kw_only=True):
    """Whether something is so."""

    instructions: Content
    criteria: NoulCriteria | None = None


class ChoiceQuestion(msgspec.Struct, tag="choice", kw_only=True):
    """Which option fits; null describes an option by its name."""

    instructions: Content
    criteria: Annotated[dict[Text, str | None], msgspec.Meta(min_length=1)]


class ScoreQuestion(msgspec.Struct, tag="score", kw_only=True):
    """How much, on described levels, the lowest first."""

    instructions: Content
    criteria: Annotated[list[str], msgspec.Meta(min_length=1)]


SystemOneQuestion = NoulQuestion | ChoiceQuestion | ScoreQuestion


class SystemOneRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/systemone``; questions are read one by one, so that all bad ones can be named."""

    model: str | None = None
    state: Content | None = None
    questions: dict[str, Any] | None = None
    assets: Any = None
    keep_alive: Any = None
    num_ctx: int | None = None
    homeport: RequestTerms | None = None


class NoulAnswer(msgspec.Struct, tag="noul", kw_only=True):
    """The probability of yes."""

    noul: float


class ChoiceAnswer(msgspec.Struct, tag="choice", kw_only=True):
    """The likeliest option, and how likely each is."""

    choice: str
    confidence: float
    probabilities: dict[str, float]


class ScoreAnswer(msgspec.Struct, tag="score", kw_only=True):
    """The expected level, counted from 0, and how likely each is."""

    score: float
    legend: dict[str, str]
    confidence: float
    probabilities: dict[str, float]


class SystemOneUsage(msgspec.Struct, kw_only=True):
    """Tokens read; none are written."""

    input_tokens: int
    output_tokens: int = 0


class SystemOneAnswer(msgspec.Struct, kw_only=True):
    """The answers, in the order of the questions."""

    model: str
    answers: dict[str, NoulAnswer | ChoiceAnswer | ScoreAnswer]
    usage: SystemOneUsage


class InputPart(SentPart, kw_only=True):
    """A part of what is judged, or of a question."""

    data: Any = None


class InputItem(msgspec.Struct, kw_only=True):
    """An item of what is judged; which fields count depends on its type, and none is a message's."""

    type: str | None = None
    role: str | None = None
    content: str | list[InputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[InputPart] | None = None


class Predicate(msgspec.Struct, tag="predicate", kw_only=True):
    """Whether something is so."""

    instructions: str | list[InputPart]
    name: str | None = None


class Option(msgspec.Struct, kw_only=True):
    """Something to choose; a text and a truth value of the same spelling differ."""

    value: str | bool
    description: str | None = None


class Choice(msgspec.Struct, tag="choice", kw_only=True):
    """Which option fits."""

    instructions: str | list[InputPart]
    choices: Annotated[list[Option], msgspec.Meta(min_length=2)]
    name: str | None = None


class Level(msgspec.Struct, kw_only=True):
    """A level of a score."""

    label: str
    description: str | None = None


class Score(msgspec.Struct, tag="score", kw_only=True):
    """How much, the lowest level first."""

    instructions: str | list[InputPart]
    levels: Annotated[list[Level], msgspec.Meta(min_length=1)]
    name: str | None = None


DecisionQuestion = Predicate | Choice | Score


class DecisionRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/decisions``; questions are read one by one, so that all bad ones can be named."""

    model: str | None = None
    input: str | list[InputItem] | None = None
    questions: list[Any] | None = None
    keep_alive: Any = None
    num_ctx: int | None = None
    homeport: RequestTerms | None = None


class PredicateAnswer(msgspec.Struct, tag="predicate", kw_only=True):
    """The probability of yes."""

    name: str | None
    probability: float


class OptionProbability(msgspec.Struct, kw_only=True):
    """How likely an option is."""

    value: str | bool
    probability: float


class OptionAnswer(msgspec.Struct, tag="choice", kw_only=True):
    """The likeliest option, and how likely each is."""

    name: str | None
    choice: str | bool
    confidence: float
    probabilities: list[OptionProbability]


class LevelProbability(msgspec.Struct, kw_only=True):
    """How likely a level is."""

    value: int
    label: str
    probability: float


class LevelAnswer(msgspec.Struct, tag="score", kw_only=True):
    """The expected level, counted from 0, and how likely each is."""

    name: str | None
    score: float
    confidence: float
    probabilities: list[LevelProbability]


class Decision(msgspec.Struct, kw_only=True):
    """The answers, in the order of the questions."""

    model: str
    answers: list[PredicateAnswer | OptionAnswer | LevelAnswer]
    usage: Usage
