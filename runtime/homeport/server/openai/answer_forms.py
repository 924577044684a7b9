"""The form that an answer shall have, in OpenAI's words and in vLLM's."""

import json
from collections.abc import Iterator

import attrs

from homeport.domain.constraint import Constraint
from homeport.domain.errors import InvalidRequestError
from homeport.server.bodies import decode
from homeport.server.constraints import (
    grammar_constraint,
    json_constraint,
    regex_constraint,
    schema_constraint,
)
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.schemas.openai import InferenceRequest, ResponseFormat, StructuredOutputs

MAX_OPTIONS = 1024


@attrs.frozen
class AnswerForm:
    """A form, and the field that asks for it."""

    field: str
    constraint: Constraint


def read_form(body: InferenceRequest, response_format: ResponseFormat | None) -> AnswerForm | None:
    """Read the fields that ask for a form.

    Raises:
        InvalidRequestError: One is malformed or too large, or there are two of them; names it.
    """
    forms = [*_of_response_format(response_format), *_of_guides(body), *_of_outputs(body.structured_outputs)]
    if len(forms) > 1:
        message = f"{forms[1].field} cannot stand beside {forms[0].field}: an answer has one form"
        raise InvalidRequestError(message, field=forms[1].field)
    return forms[0] if forms else None


def _of_response_format(sent: ResponseFormat | None) -> Iterator[AnswerForm]:
    field = "response_format"
    kind = sent.type if sent else "text"
    if kind == "json_object":
        yield AnswerForm(field, json_constraint())
    elif sent and kind == "json_schema":
        place = f"{field}.json_schema"
        if sent.json_schema is None or sent.json_schema.schema is None:
            raise InvalidRequestError(f"{place}.schema is required", field=place)
        yield AnswerForm(field, schema_constraint(f"{place}.schema", sent.json_schema.schema))
    elif kind != "text":
        message = f"{field}.type must be one of text, json_object, json_schema, got {shown(kind)}"
        raise InvalidRequestError(message, field=f"{field}.type")


def _of_guides(body: InferenceRequest) -> Iterator[AnswerForm]:
    if body.guided_json is not None:
        yield AnswerForm("guided_json", _schema("guided_json", body.guided_json))
    if body.guided_regex is not None:
        yield AnswerForm("guided_regex", regex_constraint("guided_regex", body.guided_regex))


def _of_outputs(sent: StructuredOutputs | None) -> Iterator[AnswerForm]:
    if sent is None:
        return
    field = "structured_outputs"
    if sent.json is not None:
        yield AnswerForm(field, _schema(f"{field}.json", sent.json))
    if sent.json_object:
        yield AnswerForm(field, json_constraint())
    if sent.regex is not None:
        yield AnswerForm(field, regex_constraint(f"{field}.regex", sent.regex))
    if sent.choice is not None:
        yield AnswerForm(field, grammar_constraint(f"{field}.choice", _one_of(sent.choice)))
    if sent.grammar is not None:
        yield AnswerForm(field, grammar_constraint(f"{field}.grammar", sent.grammar))


def _schema(field: str, sent: object) -> Constraint:
    """Read a schema, or its JSON text."""
    if not isinstance(sent, str):
        return schema_constraint(field, sent)
    try:
        return schema_constraint(field, decode(sent.encode(), object))
    except InvalidRequestError as error:
        error.field = field
        raise


def _one_of(texts: list[str]) -> str:
    """Write texts to choose from as a grammar, whose strings are those of JSON."""
    field = "structured_outputs.choice"
    at_most(field, len(texts), MAX_OPTIONS, "texts")
    if not texts or not all(texts):
        raise InvalidRequestError(f"{field} must hold texts, got {shown(texts)}", field=field)
    return "start: " + " | ".join(json.dumps(text) for text in texts)
