from pathlib import Path

import pytest

from homeport.domain.models import Capability
from homeport.engine.template_traits import capabilities_of_template

TEMPLATES = Path(__file__).parent / "templates"
TOOLS, THINKING = Capability.TOOLS, Capability.THINKING


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [
        ("smollm2", set()),
        ("qwen2", {TOOLS}),
        ("qwen3", {TOOLS, THINKING}),
        ("deepseek_r1", {THINKING}),
        ("llama3", {TOOLS}),
        ("mistral_list", {TOOLS}),
        ("mistral_named", {TOOLS, THINKING}),
        ("plain_json", {TOOLS}),
    ],
)
def test_capabilities_of_each_family_are_read_from_its_template(name, capabilities):
    """Tools where they are rendered, thinking where thoughts are marked."""
    source = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    assert capabilities_of_template(source) == capabilities


@pytest.mark.parametrize(
    ("source", "capabilities"),
    [
        ("", set()),
        ("{# tools #}you have no tools {{ 'tools' }} {{ message.tools }} {{ custom_tools }}", set()),
        ("{% set tools = none %}{{ x }}", set()),
        ("{% if tools == none %}{% endif %}", {TOOLS}),
        ("{{ tools | tojson }}", {TOOLS}),
        ("{%- for tool in tools -%}{% endfor %}", {TOOLS}),
        ("{% if enable_thinking %}{% endif %}", {THINKING}),
        ("{# <think> #}", set()),
        ("{{ 'a' ", set()),
    ],
)
def test_only_the_variable_counts(source, capabilities):
    """Words, comments, strings, attributes and assignments of that name are no use of it."""
    assert capabilities_of_template(source) == capabilities
