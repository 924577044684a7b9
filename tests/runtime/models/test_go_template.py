"""Go templates in the forms that Modelfiles use, rendered by the engine."""

import subprocess
import sys

import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role
from homeport.domain.tools import Tool, ToolCall, ToolOffer
from homeport.engine.chat_template import ChatTemplate
from homeport.engine.template_traits import capabilities_of_template
from homeport.models.go_template import is_go_template, to_jinja

SYSTEM = Message(Role.SYSTEM, "Be brief.")
FIRST = Message(Role.USER, "Hi")
ANSWER = Message(Role.ASSISTANT, "Hello")
SECOND = Message(Role.USER, "Bye")
TALK = (SYSTEM, FIRST, ANSWER, SECOND)

CHATML = """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
LLAMA3 = (
    "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}"
    "{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>{{ end }}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>"
)
MISTRAL = "[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]"
GEMMA = """<start_of_turn>user
{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}<end_of_turn>
<start_of_turn>model
{{ .Response }}<end_of_turn>
"""
PHI3 = """{{- if .System }}<|system|>
{{ .System }}<|end|>
{{ end -}}
{{- if .Prompt -}}
<|user|>
{{ .Prompt }}<|end|>
{{ end -}}
<|assistant|>
{{ .Response }}<|end|>
"""
ALPACA = """{{- /* the system text stands before the question that follows it */ -}}
{{- $told := "" }}
{{- range .Messages }}
{{- if eq .Role "system" }}
{{- if $told }}{{ $told = printf "%s\\n\\n%s" $told .Content }}{{ else }}{{ $told = .Content }}{{ end }}
{{- else if eq .Role "user" }}
{{- with $told }}{{ . }}

{{ end }}
{{- $told = "" }}### Instruction:
{{ .Content }}

{{ else if eq .Role "assistant" }}### Response:
{{ .Content }}

{{ end }}
{{- end }}### Response:
"""
VICUNA = "{{ .System }}\nUSER: {{ .Prompt }}\nASSISTANT: {{ .Response }}</s>"
ZEPHYR = """{{- range $i, $_ := .Messages }}<|{{ .Role }}|>
{{ .Content }}</s>
{{ if and (eq (len (slice $.Messages $i)) 1) (ne .Role "assistant") }}<|assistant|>
{{ end }}{{ end }}"""

EXPECTED = {
    "chatml": (
        CHATML,
        (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
            "Hello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
        ),
    ),
    "llama3": (
        LLAMA3,
        (
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
    ),
    "mistral": (MISTRAL, "[INST] Be brief. Hi [/INST]Hello[INST] Bye [/INST]"),
    "gemma": (
        GEMMA,
        (
            "<start_of_turn>user\nBe brief. Hi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
        ),
    ),
    "phi3": (
        PHI3,
        (
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n"
            "<|user|>\nBye<|end|>\n<|assistant|>\n"
        ),
    ),
    "alpaca": (
        ALPACA,
        (
            "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n"
            "### Instruction:\nBye\n\n### Response:\n"
        ),
    ),
    "vicuna": (VICUNA, "Be brief.\nUSER: Hi\nASSISTANT: Hello</s>\nUSER: Bye\nASSISTANT: "),
    "zephyr": (
        ZEPHYR,
        (
            "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n"
            "<|user|>\nBye</s>\n<|assistant|>\n"
        ),
    ),
}

TOOLS = """{{- if or .System .Tools }}<|system|>
{{- if .System }}{{ .System }}
{{- end }}
{{- range .Tools }}
def {{ .Function.Name }}(
{{- range $name, $it := .Function.Parameters.Properties }}{{ $name }}: {{ $it.Type }}, {{ end }})
    {{ .Function.Description }}
{{ .Function }}
{{- end }}
{{- end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "system" }}{{ continue }}{{ end }}
{{- if eq .Role "user" }}<|user|>{{ .Content }}
{{- else if eq .Role "tool" }}<|result|>{{ .ToolName }}={{ json .Content }}
{{- else if .ToolCalls }}
{{- range .ToolCalls }}<|call|>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{- end }}
{{- else }}<|assistant|>{{ .Content }}
{{- end }}
{{- if $last }}<|assistant|>{{ end }}
{{- end }}"""
WEATHER = Tool(
    name="weather",
    description="Tell the weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": ["a", "b"]}}},
)


def rendered(
    template: str, *messages: Message, special: dict[str, str] | None = None, **prompt: object
) -> str:
    return ChatTemplate(to_jinja(template), special or {}).render(ChatPrompt(messages, **prompt))


@pytest.mark.parametrize("name", EXPECTED)
def test_common_templates_give_the_prompts_they_give_in_ollama(name):
    """System, question, answer and question come out as each family writes them, open for the answer."""
    template, expected = EXPECTED[name]
    assert rendered(template, *TALK) == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_one_question_alone_is_rendered_too(name):
    """No part of a conversation has to be there but the question."""
    assert "Hi" in rendered(EXPECTED[name][0], FIRST)


def test_tools_calls_and_results_reach_the_prompt():
    """Objects are written as JSON without blanks, texts as they are; keys keep their order."""
    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Köln", "day": 1}')
    talk = (
        SYSTEM,
        FIRST,
        Message(Role.ASSISTANT, "", tool_calls=(call,)),
        Message(Role.TOOL, 'so "so"', tool_name="weather", tool_call_id="call_1"),
    )
    assert rendered(TOOLS, *talk, tools=ToolOffer(tools=(WEATHER,))) == (
        "<|system|>Be brief.\n"
        'def weather(city: string, day: ["a","b"], )\n'
        "    Tell the weather\n"
        '{"name":"weather","description":"Tell the weather","parameters":{"type":"object","properties":'
        '{"city":{"type":"string"},"day":{"type":["a","b"]}}}}'
        "<|user|>Hi"
        '<|call|>{"name": "weather", "arguments": {"city":"Köln","day":1}}'
        '<|result|>weather="so \\"so\\""<|assistant|>'
    )


def test_only_a_template_with_tools_makes_a_model_take_them():
    """What a listing derives from the translated template is what the Go template can do."""
    assert [each.value for each in capabilities_of_template(to_jinja(TOOLS))] == ["tools"]
    assert all(not capabilities_of_template(to_jinja(template)) for template, _ in EXPECTED.values())


def test_neighbours_with_one_role_are_one_message():
    """Two questions in a row are joined by an empty line, as Ollama joins them."""
    assert rendered(ZEPHYR, FIRST, SECOND).startswith("<|user|>\nHi\n\nBye</s>")


def test_the_begin_token_comes_first_where_the_tokenizer_has_one():
    """It stands once, also where the template writes it itself."""
    special = {"leading_token": "<s>"}
    assert rendered(MISTRAL, FIRST, special=special) == "<s>[INST] Hi [/INST]"
    assert rendered(f"<s>{MISTRAL}", FIRST, special=special) == "<s>[INST] Hi [/INST]"


def test_a_begun_answer_is_left_open():
    """A conversation that ends with the assistant's words ends the prompt with them."""
    assert rendered(CHATML, FIRST, ANSWER).endswith("<|im_start|>assistant\nHello")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ .Prompt }}", "Hi"),
        ("a  {{- /* b */ -}}  c{{ .Prompt }}", "acHi"),
        ("{{- .Prompt -}}\n\n x", "Hix"),
        ("{{`}}`}}{{ .Prompt }}", "}}Hi"),
        ('{{ "a\\tb\\u00e9\\"" }}{{ .Prompt }}', 'a\tbé"Hi'),
        ("it's \\n {% raw %} {{ .Prompt }}", "it's \\n {% raw %} Hi"),
        ("{{ if not (or .System (eq .Prompt `x` `y`)) }}{{ .Prompt | printf `%s!` }}{{ end }}", "Hi!"),
        ("{{ if .System }}a{{ else if .Prompt }}b{{ else }}c{{ end }}", "b"),
        ("{{ range .Messages }}{{ if eq .Role `user` }}{{ break }}{{ end }}{{ else }}none{{ end }}", ""),
        ("{{ (index .Messages 0).Role }}{{ len .Messages }}{{ gt (len .Messages) 1 }}", "user1false"),
        ("{{ $x := .Messages }}{{ range $i, $m := $x }}{{ $i }}{{ $m.Content }}{{ end }}", "0Hi"),
        ("{{ range $m := .Messages }}{{ $m.Role }}{{ end }}", "user"),
        ("{{ with .System }}{{ . }}{{ else }}{{ .Prompt }}{{ end }}", "Hi"),
        ("{{ if $x := .Prompt }}{{ $x }}{{ end }}", "Hi"),
        ("{{ json .Prompt }}{{ print .Prompt 1 true }}", '"Hi"Hi1 true'),
        ("{{ if and .Think .IsThinkSet }}t{{ end }}{{ .ThinkLevel }}{{ .Prompt }}{{ .Suffix }}", "tHi"),
    ],
)
def test_the_parts_of_the_language_mean_what_they_mean_in_go(template, expected):
    """Trim marks, texts, conditions, loops, variables and functions."""
    assert rendered(template, FIRST) == expected


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("a\n{{ if .Prompt }}", "line 2: 'if' has no end"),
        ("{{ end }}", "line 1: 'end' without 'if', 'with' or 'range'"),
        ("{{ else }}", "line 1: 'else' without"),
        ("\n\n{{ .Prompt", "line 3: the action '{{ .Prompt' does not end"),
        ('{{ define "x" }}{{ end }}', "line 1: 'define' is not supported"),
        ('{{ template "x" . }}', "line 1: 'template' is not supported"),
        ("{{ .Promt }}", "line 1: a template has no field .Promt; known: .System, .Prompt"),
        ("{{ range .Messages }}{{ .Name }}{{ end }}", "a message has no field .Name; known: .Role"),
        ("{{ upper .Prompt }}", "line 1: the function 'upper' is not supported"),
        ("{{ $x }}", "line 1: the variable $x is not defined"),
        ("{{ $x = 1 }}", "line 1: the variable $x is not defined"),
        ("{{ range .Prompt }}{{ end }}", "line 1: range needs a list or a map, not a text"),
        ("{{ range $i, $m := .Messages }}{{ $i = 1 }}{{ end }}", "$i belongs to a range"),
        ("{{ printf `%5.2f` 1 }}", "printf cannot write '%5.2f'"),
        ("{{ eq .Prompt }}", "eq takes at least 2 values, got 1"),
        ("{{ (.Prompt }}", "a parenthesis is not closed"),
        ("{{ .Prompt ) }}", "unexpected ')'"),
        ("{{ .Prompt .System }}", "'.Prompt' is no function"),
        ("{{ ! }}{{ .Prompt }}", "'!' cannot be read"),
        ('{{ "\\d" }}{{ .Prompt }}', '"\\d" is no text'),
        ("{{ break }}{{ .Prompt }}", "'break' outside of 'range'"),
        ("{{ if .Prompt }}" * 60, "more than 50 blocks are open"),
        ("{{ " + "(" * 60 + ".Prompt" + ")" * 60 + " }}", "more than 50 parentheses are open"),
        ("{{ " + "(print (or " * 12 + ".Prompt" + " 1))" * 12 + " }}", "an expression is too long"),
        ("{{ .Prompt }}" + "x" * 300_000, "300013 characters, at most 262144 are read"),
    ],
)
def test_what_cannot_be_translated_is_named_with_its_line(template, complaint):
    """The error says where the template stops making sense, and what would."""
    with pytest.raises(InvalidRequestError) as caught:
        to_jinja(template)
    assert caught.value.message.startswith("template error: ")
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("text", "is_go"),
    [
        (CHATML, True),
        (TOOLS, True),
        ("plain text", True),
        ("{{ json .Messages }}", True),
        ("{{- range $i, $_ := .Messages }}{% x %}{{ end }}", True),
        ("{% for message in messages %}{{ message.content }}{% endfor %}", False),
        ("{{ bos_token }}{{ messages[0].content }}", False),
        ("{{ messages }}", False),
        ("{{ index[0] }}{{ and(x) }}{{ (x or y) | trim }}{{ not x }}{{ range(3) }}", False),
        ("{{ (index .Messages 0).Role }}", True),
        ("{# nothing #}", False),
    ],
)
def test_go_is_told_from_jinja(text, is_go):
    """By what stands in its braces."""
    assert is_go_template(text) is is_go
    assert (to_jinja(text) == text) is not is_go


def test_a_hostile_template_is_read_in_no_time():
    """Many braces, quotes and comments that do not end take linear time."""
    code = (
        "from homeport.models.go_template import to_jinja\n"
        "bad = ('{{ `' * 60_000, '{{/*' * 60_000, '{{ \"' * 60_000, '{{ (' * 60_000, '{{' + '-' * 200_000)\n"
        "for text in bad:\n"
        "    try: to_jinja('{{ .Prompt }}' + text)\n"
        "    except Exception as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.count("template error") == 5
