"""Everything that shapes an answer on Ollama's routes: format, suffix, template, and what a model is told."""

import json

import pytest

from homeport import InvalidRequestError
from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.generation import FillPrompt, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import Scope

CHAT = ("/api/chat", {"model": "speaking:1b", "messages": [{"role": "user", "content": "hi"}]})
GENERATE = ("/api/generate", {"model": "speaking:1b", "prompt": "hi"})
BRIEFING = (Message(Role.USER, "hi"), Message(Role.ASSISTANT, "hello"))
SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}


async def _asked(served, speaker, path: str, body: dict, **fields: object):
    status, answer = await served.json("POST", path, body | {"stream": False} | fields)
    assert status == 200, answer
    return speaker.asked[-1]


@pytest.mark.parametrize(("path", "body"), [CHAT, GENERATE])
async def test_format_binds_the_answer(speaking, speaker, path, body):
    """The word, a schema in the client's order, and what asks for nothing."""
    for nothing in (None, ""):
        assert (await _asked(speaking, speaker, path, body, format=nothing)).constraint is None
    word = await _asked(speaking, speaker, path, body, format="json")
    assert word.constraint == Constraint(ConstraintKind.JSON_OBJECT)
    schema = await _asked(speaking, speaker, path, body, format=SCHEMA)
    assert schema.constraint.kind is ConstraintKind.JSON_SCHEMA
    assert json.dumps(json.loads(schema.constraint.source)) == json.dumps(SCHEMA)
    anything = await _asked(speaking, speaker, path, body, format={})
    assert anything.constraint == Constraint(ConstraintKind.JSON_SCHEMA, "{}")


@pytest.mark.parametrize(("path", "body"), [CHAT, GENERATE])
@pytest.mark.parametrize(
    "case",
    [("xml", '"\\"xml\\""'), (5, '"5"'), ([], '"[]"'), (True, '"true"'), ("JSON", '"\\"JSON\\""')],
)
async def test_other_formats_are_shown_raw(speaking, speaker, path, body, case):
    """As the client wrote them, quoted."""
    value, shown = case
    status, answer = await speaking.json("POST", path, body | {"format": value})
    text = f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
    assert (status, answer["error"]) == (400, text)
    assert speaker.asked == []


async def test_a_schema_that_the_worker_refuses_keeps_its_status(speaking, speaker):
    """The error names the keyword, before the first byte."""
    speaker.error = InvalidRequestError('format: keyword "$dynamicRef" is not supported', field="format")
    path, body = CHAT
    status, answer = await speaking.json("POST", path, body | {"format": SCHEMA})
    assert (status, answer["error"]) == (400, 'format: keyword "$dynamicRef" is not supported')


async def test_a_deep_schema_is_refused(speaking, speaker):
    """Named, in no time."""
    schema: dict = {}
    for _ in range(33):
        schema = {"not": schema}
    path, body = CHAT
    status, answer = await speaking.json("POST", path, body | {"format": schema})
    assert (status, answer["error"]) == (400, "format must be nested at most 32 levels deep")


async def test_a_suffix_makes_a_gap(speaking, speaker):
    """Raw or not, for a gap has no template."""
    path, body = GENERATE
    for raw in (False, True):
        asked = await _asked(speaking, speaker, path, body, suffix="there", raw=raw)
        assert asked.prompt == FillPrompt("hi", "there")
    assert (await _asked(speaking, speaker, path, body, raw=True)).prompt == TextPrompt("hi")


async def test_a_template_takes_the_place_of_the_models(speaking, speaker):
    """Jinja as it is; Go's syntax is translated, and refused where that cannot be."""
    path, body = GENERATE
    jinja = "{% for message in messages %}{{ message.content }}{% endfor %}"
    assert (await _asked(speaking, speaker, path, body, template=jinja)).prompt.template == jinja
    go = await _asked(speaking, speaker, path, body, template="{{ .System }} {{ .Prompt }}")
    assert go.prompt.template
    assert ".Prompt" not in go.prompt.template
    status, answer = await speaking.json(
        "POST", path, body | {"template": "{{ .Prompt }}{{ if .System }}", "stream": False}
    )
    assert status == 400
    assert answer["error"].startswith("template error: ")


async def test_only_administrators_replace_templates(settings, serving):
    """A template is code, if only in a sandbox."""
    key = KeyFile(settings.home / FILE_NAME).create("app", {Scope.INFER}).secret
    path, body = GENERATE
    async with serving(settings) as served:
        headers = {"Authorization": f"Bearer {key}"}
        sent = body | {"model": "echo", "stream": False}
        status, answer = await served.json("POST", path, sent | {"template": "x"}, headers=headers)
        assert (status, answer["error"]) == (403, "forbidden")
        assert (await served.json("POST", path, sent, headers=headers))[0] == 200


async def test_shift_and_unknown_fields_are_accepted(speaking, speaker):
    """A full window ends an answer either way."""
    for path, body in (CHAT, GENERATE):
        for shift in (True, False, None):
            await _asked(speaking, speaker, path, body, shift=shift, draft=1)
