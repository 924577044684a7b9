"""Go templates of Modelfiles, translated to the Jinja that models are rendered with.

What a template means follows Ollama (https://github.com/ollama/ollama/blob/main/template/template.go): one
that mentions ``.Messages`` goes through the conversation itself; any other one is rendered for each question
and its answer, the last time without what follows ``.Response``.
"""

import re
from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.models.templates.actions import Part, split_template
from homeport.models.templates.expressions import quote
from homeport.models.templates.kinds import CONVERSATION, EXCHANGE
from homeport.models.templates.writing import JinjaWriter, fields_of

_MAX_CHARACTERS = 256 * 1024
_GO = re.compile(
    r"""\{\{-?\s*(
        /\* | \.(?=[A-Za-z\s}]) | \$                              # a comment, a field, a variable
        | (if|else|end|range|with|break|continue)(?=\s|-?\}\})     # a block
        | (define|template|block)\s+["`]
        | \(+\s*[.$] | \(*([A-Za-z]+\s+\(*)+[.$`]                  # functions and what they are given
    )""",
    re.VERBOSE,
)
_JINJA = ("{%", "{#")

_LEADING = """\
{{%- set leading = leading_token | default('') -%}}
{{{{- '' if not leading or {first}.startswith(leading) else leading -}}}}
"""
"""Ollama's tokenizer puts the begin token before a prompt, where a Jinja template writes it itself."""

_TURNS = """\
{%- set turns = namespace(all=[]) -%}
{%- for turn in messages -%}
{%- set last = turns.all[-1] if turns.all else {} -%}
{%- if last.role == turn.role{guard} -%}
{%- set merged = (last.content or '') ~ '\\n\\n' ~ (turn.content or '') -%}
{%- set turns.all = turns.all[:-1] + [dict(last, content=merged)] -%}
{%- else -%}
{%- set turns.all = turns.all + [turn] -%}
{%- endif -%}
{%- endfor -%}
"""
"""Neighbours with one role are one message."""

_TOOL_GUARD = " and turn.role != 'tool' and not last.tool_calls and not turn.tool_calls"
"""Calls and results stay apart. A template without tools does not speak of them."""


_CONVERSATION = """\
{{%- set system_turns = messages | selectattr('role', 'equalto', 'system') -%}}
{{%- set system = system_turns | map(attribute='content') | join('\\n\\n') -%}}
{{%- set prompt = '' -%}}
{{%- set response = '' -%}}
{body}"""

_EXCHANGES = """\
{{%- macro exchange(system, prompt, response) -%}}
{whole}
{{%- endmacro -%}}
{{%- macro open_exchange(system, prompt, response) -%}}
{begun}
{{%- endmacro -%}}
{{%- set now = namespace(system='', prompt='', response='') -%}}
{{%- for turn in turns.all -%}}
{{%- set ends = now.response or (now.prompt and turn.role == 'system') -%}}
{{%- if ends and turn.role in ('system', 'user') -%}}
{{{{- exchange(now.system, now.prompt, now.response) -}}}}
{{%- set now.system = '' -%}}
{{%- set now.prompt = '' -%}}
{{%- set now.response = '' -%}}
{{%- endif -%}}
{{%- if turn.role == 'system' -%}}
{{%- set now.system = turn.content or '' -%}}
{{%- elif turn.role == 'user' -%}}
{{%- set now.prompt = turn.content or '' -%}}
{{%- elif turn.role == 'assistant' -%}}
{{%- set now.response = turn.content or '' -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{{{- open_exchange(now.system, now.prompt, now.response) -}}}}"""


def is_go_template(text: str) -> bool:
    """Tell Go's ``text/template`` from Jinja; text without any action counts as Go."""
    if _GO.search(text):
        return True
    return not any(mark in text for mark in _JINJA) and "{{" not in text


def to_jinja(text: str) -> str:
    """Translate a Go template of a Modelfile to Jinja; Jinja is given back as it is.

    Raises:
        InvalidRequestError: ``template error: ...`` with the line and what cannot be translated.
    """
    if len(text) > _MAX_CHARACTERS:
        message = f"template error: {len(text)} characters, at most {_MAX_CHARACTERS} are read"
        raise InvalidRequestError(message, field="template")
    if not text.strip() or not is_go_template(text):
        return text
    parts = split_template(text)
    fields = fields_of(parts)
    leading = _LEADING.format(first=quote(_first_text(parts)))
    turns = _TURNS.replace("{guard}", _TOOL_GUARD if fields & {"Tools", "ToolCalls"} else "")
    if "Messages" in fields:
        return leading + turns + _CONVERSATION.format(body=JinjaWriter(CONVERSATION).write(parts))
    if "Response" not in fields:
        parts = [*parts, Part(".Response", text.count("\n") + 1, is_action=True)]
    return (
        leading
        + turns
        + _EXCHANGES.format(
            whole=JinjaWriter(EXCHANGE).write(parts),
            begun=JinjaWriter(EXCHANGE, ends_at_response=True).write(parts),
        )
    )


def _first_text(parts: Sequence[Part]) -> str:
    """Give the text that an answer may begin with: of special tokens, the longest has some 40 characters."""
    return next((part.source.lstrip()[:80] for part in parts if not part.is_action), "")
