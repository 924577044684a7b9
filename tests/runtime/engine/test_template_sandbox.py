import time

import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role
from homeport.engine.chat_template import ChatTemplate

LONG = "x" * 100_000
HOSTILE = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "{% for a in [1, 1] recursive %}{{ loop([1, 1]) if loop.depth < 99 }}{% endfor %}",
    "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else 1 }}{% endmacro %}{{ f(60) }}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ 'x' * 1000000000 }}",
    "{{ [1] * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ '%*d' | format(999999999, 1) }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ 'x'.ljust(999999999) }}",
    "{{ 'x' | center(999999999) }}",
    "{{ messages[0].content | replace('x', messages[0].content) }}",
    "{{ messages[0].content.replace('x', messages[0].content) }}",
    "{{ messages[0].content | join(messages[0].content) }}",
    "{{ messages[0].content.join([messages[0].content] * 9999) }}",
    "{{ ([messages[0].content] * 9999) | join }}",
    "{{ messages[0].content | list | tojson(indent=99999) }}",
    "{% set ns = namespace(t='x') %}{% for a in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
    "{% set ns = namespace(t='x') %}{% for a in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    "{% set ns = namespace(t=[1]) %}{% for a in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
    "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}",
    "{% for a in range(99999) %}" + "y" * 100_000 + "{% endfor %}",
    "{% set t %}{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}{% endset %}",
    "{{ lipsum(n=99999999) }}",
    *(
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
        "{% set ns.a = " + nest.format(x="ns.a") + " %}{% set ns.b = " + nest.format(x="ns.b") + " %}"
        "{% endfor %}{{ " + use + " }}"
        for nest in (
            "[{x}, {x}]",
            "({x}, {x})",
            "{{'a': {x}, 'b': {x}}}",
            "dict(a={x}, b={x})",
            "namespace(a={x}, b={x})",
            "({x} * 2) | batch(2) | list",
            "({x} + {x}) | batch(2) | list",
        )
        for use in (
            "ns.a",
            "ns.a ~ ''",
            "ns.a | tojson",
            "ns.a | string",
            "'%s' % ns.a",
            "'{}'.format(ns.a)",
            "ns.a | join",
        )
    ),
    (
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
        "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}"
    ),
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ cycler.__init__.__globals__ }}",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_no_template_runs_for_ever_or_writes_without_bound(source):
    """Loops, recursion, and everything that makes a text grow are refused before they cost much."""
    began = time.monotonic()
    with pytest.raises(InvalidRequestError):
        ChatTemplate(source, {}).render(ChatPrompt((Message(Role.USER, LONG),)))
    assert time.monotonic() - began < 20


def test_what_templates_do_is_still_allowed():
    """Loop controls, lengths of loops, formats, joins, padding and namespaces work as ever."""
    source = """
{%- set ns = namespace(n=0) -%}
{%- for m in messages -%}
    {%- if loop.length == 2 and loop.last %}{{ '%s %05d' | format(m.content, 3) }}{% continue %}{% endif -%}
    {%- set ns.n = ns.n + loop.revindex -%}
{%- endfor -%}
{{ ns.n }} {{ 'a' * 3 }} {{ '-'.join(['b', 'c']) }} {{ 'x'.ljust(3, '.') }}
{{- ' ' }}{{ [1, 2] | join(', ') }} {{ 7 % 4 }}
{%- for key, value in {'k': 'v'}.items() %} {{ key ~ value }}{% else %}none{% endfor %}
{%- generation %} {{ 'said' | upper }}{% endgeneration %}"""
    messages = (Message(Role.USER, "one"), Message(Role.USER, "two"))
    text = ChatTemplate(source, {}).render(ChatPrompt(messages))
    assert text == "two 000032 aaa b-c x.. 1, 2 3 kv SAID"


def test_long_conversations_stay_within_the_bounds():
    """Ten thousand messages and megabytes of text render, in a second or two."""
    source = "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + '\n' }}{% endfor %}"
    messages = (Message(Role.USER, "hello " * 100),) * 10_000
    assert len(ChatTemplate(source, {}).render(ChatPrompt(messages))) > 6_000_000


def test_each_rendering_has_a_budget_of_its_own():
    """A template that was refused once renders the next conversation."""
    template = ChatTemplate("{% for a in range(90000) %}{{ messages[0].content }}{% endfor %}", {})
    with pytest.raises(InvalidRequestError, match="writes more than"):
        template.render(ChatPrompt((Message(Role.USER, LONG),)))
    assert template.render(ChatPrompt((Message(Role.USER, "x"),))) == "x" * 90_000
