"""``POST /v1/systemone``: Ollama's typed decisions."""

from collections.abc import Sequence

import attrs
import msgspec
from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.server.bodies import read_body
from homeport.server.decisions.judging import Verdict, judge
from homeport.server.decisions.probabilities import best, choice_confidence, expected, score_confidence
from homeport.server.decisions.questions import Question, as_text, described, one_of, yes_or_no
from homeport.server.decisions.reading import read_each
from homeport.server.dialects import json_response
from homeport.server.lookup import required
from homeport.server.quoting import quoted
from homeport.server.refusals import refuse_given
from homeport.server.schemas import decisions as schema

MAX_BODY_BYTES = 64 * 1024
MAX_QUESTIONS = 64


@attrs.frozen
class _Asked:
    """A question as it was sent, and as it is put to the model."""

    sent: schema.SystemOneQuestion
    question: Question


async def systemone(request: web.Request) -> web.StreamResponse:
    """Answer questions about a state."""
    body = await read_body(request, schema.SystemOneRequest, most_bytes=MAX_BODY_BYTES)
    name = required(body.model)
    refuse_given(body, "assets")
    if body.state is None:
        raise InvalidRequestError("state is required", field="state")
    sent = body.questions or {}
    if not 1 <= len(sent) <= MAX_QUESTIONS:
        message = f"questions must hold 1 to {MAX_QUESTIONS} questions, got {len(sent)}"
        raise InvalidRequestError(message, field="questions")
    asked = read_each(((quoted(key), value) for key, value in sent.items()), _read)
    verdicts = await judge(
        request, body, name, as_text(body.state), [each.question for each in asked], field="state"
    )
    answers = [_answer(each.sent, verdict) for each, verdict in zip(asked, verdicts.each, strict=True)]
    return json_response(
        schema.SystemOneAnswer(
            model=name,
            answers=dict(zip(sent, answers, strict=True)),
            usage=_usage(verdicts.each),
        ),
        headers=dict(verdicts.headers),
    )


def _read(value: object) -> _Asked:
    sent: schema.SystemOneQuestion = msgspec.convert(value, schema.SystemOneQuestion)
    instructions = as_text(sent.instructions)
    if not instructions.strip():
        raise InvalidRequestError("instructions must not be empty")
    match sent:
        case schema.NoulQuestion(criteria=criteria):
            criteria = criteria or schema.NoulCriteria()
            return _Asked(sent, yes_or_no(instructions, criteria.true or "", criteria.false or ""))
        case schema.ChoiceQuestion(criteria=options):
            return _Asked(sent, one_of(instructions, [described(*option) for option in options.items()]))
        case schema.ScoreQuestion(criteria=levels):
            return _Asked(sent, one_of(instructions, levels))


def _answer(
    sent: schema.SystemOneQuestion, verdict: Verdict
) -> schema.NoulAnswer | schema.ChoiceAnswer | schema.ScoreAnswer:
    shares = verdict.probabilities
    match sent:
        case schema.NoulQuestion():
            return schema.NoulAnswer(noul=shares[0])
        case schema.ChoiceQuestion(criteria=options):
            names = list(options)
            return schema.ChoiceAnswer(
                choice=names[best(shares)],
                confidence=choice_confidence(shares),
                probabilities=dict(zip(names, shares, strict=True)),
            )
        case schema.ScoreQuestion(criteria=levels):
            return schema.ScoreAnswer(
                score=expected(shares),
                legend={str(place): text for place, text in enumerate(levels)},
                confidence=score_confidence(shares),
                probabilities={str(place): share for place, share in enumerate(shares)},
            )


def _usage(verdicts: Sequence[Verdict]) -> schema.SystemOneUsage:
    return schema.SystemOneUsage(input_tokens=sum(verdict.usage.prompt_tokens for verdict in verdicts))
