"""Definitions: what a Modelfile says besides weights."""

import math

import pytest

from homeport.domain.errors import InvalidRequestError, StoreError
from homeport.domain.messages import Message, Role
from homeport.models.definition import MAX_TEXT_CHARACTERS, Definition

WHOLE = Definition(
    system="Be brief.",
    template="{{ .Prompt }}",
    messages=(Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Hello")),
    parameters={"stop": ("a", "b"), "temperature": 0.5, "num_ctx": 4096, "penalize_newline": True},
    license="MIT",
    requires="0.14.0",
)


def test_it_is_read_back_as_it_was_written(tmp_path):
    """A definition survives its file, whatever it holds."""
    for definition in (WHOLE, Definition()):
        definition.write(tmp_path)
        assert Definition.read(tmp_path) == definition
    assert Definition().is_empty
    assert not WHOLE.is_empty


def test_a_folder_without_one_has_none(tmp_path):
    """A source need not leave one."""
    assert Definition.read(tmp_path) is None


def test_what_a_source_leaves_may_be_partial(tmp_path):
    """Keys may be missing, and messages need only a role and a text."""
    (tmp_path / "definition.json").write_text(
        '{"messages": [{"role": "user", "content": "Hi"}], "parameters": {"stop": ["x"]}}'
    )
    assert Definition.read(tmp_path) == Definition(
        messages=(Message(Role.USER, "Hi"),), parameters={"stop": ("x",)}
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "expected an object"),
        ("{", "not JSON"),
        ('{"system": 1}', "expected str, got 1"),
        ('{"sistem": "x"}', "extra fields found"),
        ('{"parameters": {"stop": {}}}', "expected a text, a number"),
        ('{"messages": [{"role": "nobody", "content": "x"}]}', "nobody"),
    ],
)
def test_what_is_no_definition_is_refused(tmp_path, text, complaint):
    """The error names what is wrong."""
    (tmp_path / "definition.json").write_text(text)
    with pytest.raises(StoreError, match=complaint):
        Definition.read(tmp_path)


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (Definition(system="x" * (MAX_TEXT_CHARACTERS + 1)), "system"),
        (Definition(messages=(Message(Role.TOOL, "x"),)), "messages[0].role"),
        (Definition(messages=(Message(Role.USER, "x"),) * 1025), "messages"),
        (Definition(parameters={"a b": 1}), "parameters"),
        (Definition(parameters={"x": math.nan}), "parameters.x"),
        (Definition(parameters={"x": (math.inf,)}), "parameters.x"),
        (Definition(parameters={"stop": ("x",) * 65}), "parameters.stop"),
        (Definition(parameters={"stop": "x" * 4097}), "parameters.stop"),
        (Definition(parameters={f"p{i}": 1 for i in range(129)}), "parameters"),
        (Definition(requires="latest"), "requires"),
    ],
)
def test_what_no_definition_may_say_names_its_field(definition, field):
    """Sizes, speakers, names and versions are bounded."""
    with pytest.raises(InvalidRequestError) as caught:
        definition.check()
    assert caught.value.field == field


@pytest.mark.parametrize("version", ["0.14.0", "v1.2.3-rc.1+build", "1"])
def test_semantic_versions_are_taken(version):
    """As golang.org/x/mod/semver takes them."""
    Definition(requires=version).check()
