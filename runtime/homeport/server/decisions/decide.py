"""``POST /v1/decisions``: OpenAI's typed decisions."""

import attrs
import msgspec
from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.server.bodies import read_body
from homeport.server.decisions.evidence import evidence_text, parts_text
from homeport.server.decisions.judging import Verdict, judge
from homeport.server.decisions.probabilities import best, choice_confidence, expected, score_confidence
from homeport.server.decisions.questions import Question, as_text, described, one_of, yes_or_no
from homeport.server.decisions.reading import read_each
from homeport.server.dialects import json_response
from homeport.server.lookup import required
from homeport.server.openai.responses.response_events import usage_of
from homeport.server.quoting import quoted, shown
from homeport.server.schemas import decisions as schema

MAX_QUESTIONS = 400


@attrs.frozen
class _Asked:
    """A question as it was sent, and as it is put to the model."""

    sent: schema.DecisionQuestion
    question: Question


async def decide(request: web.Request) -> web.StreamResponse:
    """Answer questions about an input."""
    body = await read_body(request, schema.DecisionRequest)
    name = required(body.model)
    evidence = evidence_text(body.input, name)
    sent = body.questions or []
    if not 1 <= len(sent) <= MAX_QUESTIONS:
        message = f"questions must hold 1 to {MAX_QUESTIONS} questions, got {len(sent)}"
        raise InvalidRequestError(message, field="questions")
    asked = read_each(
        ((_called(place, value), value) for place, value in enumerate(sent)), _Reader(name).read
    )
    verdicts = await judge(request, body, name, evidence, [each.question for each in asked], field="input")
    answers = [_answer(each.sent, verdict) for each, verdict in zip(asked, verdicts.each, strict=True)]
    # What is written is a label that was compared, so nothing counts as written.
    usage = usage_of(*(attrs.evolve(verdict.usage, completion_tokens=0) for verdict in verdicts.each))
    return json_response(
        schema.Decision(model=name, answers=answers, usage=usage), headers=dict(verdicts.headers)
    )


def _called(place: int, value: object) -> str:
    """Name a question in an error."""
    name = value.get("name") if isinstance(value, dict) else None
    return f"questions[{place}] ({quoted(name)})" if isinstance(name, str) else f"questions[{place}]"


@attrs.frozen
class _Reader:
    """Reads questions; knows the name of the model for errors."""

    model: str

    def read(self, value: object) -> _Asked:
        sent: schema.DecisionQuestion = msgspec.convert(value, schema.DecisionQuestion)
        instructions = parts_text("instructions", sent.instructions, self.model)
        if not instructions.strip():
            raise InvalidRequestError("instructions must not be empty")
        match sent:
            case schema.Predicate():
                return _Asked(sent, yes_or_no(instructions))
            case schema.Choice(choices=options):
                _check_values(options)
                meanings = [described(as_text(option.value), option.description) for option in options]
                return _Asked(sent, one_of(instructions, meanings))
            case schema.Score(levels=levels):
                meanings = [described(level.label, level.description) for level in levels]
                return _Asked(sent, one_of(instructions, meanings))


def _check_values(options: list[schema.Option]) -> None:
    """Check that options differ; a text and a truth value of the same spelling do."""
    seen: set[tuple[type, str | bool]] = set()
    for option in options:
        key = (type(option.value), option.value)
        if key in seen:
            raise InvalidRequestError(f"choices must differ, got {shown(option.value)} twice")
        seen.add(key)


def _answer(
    sent: schema.DecisionQuestion, verdict: Verdict
) -> schema.PredicateAnswer | schema.OptionAnswer | schema.LevelAnswer:
    shares = verdict.probabilities
    match sent:
        case schema.Predicate():
            return schema.PredicateAnswer(name=sent.name, probability=shares[0])
        case schema.Choice(choices=options):
            return schema.OptionAnswer(
                name=sent.name,
                choice=options[best(shares)].value,
                confidence=choice_confidence(shares),
                probabilities=[
                    schema.OptionProbability(value=option.value, probability=share)
                    for option, share in zip(options, shares, strict=True)
                ],
            )
        case schema.Score(levels=levels):
            return schema.LevelAnswer(
                name=sent.name,
                score=expected(shares),
                confidence=score_confidence(shares),
                probabilities=[
                    schema.LevelProbability(value=place, label=level.label, probability=share)
                    for place, (level, share) in enumerate(zip(levels, shares, strict=True))
                ],
            )
