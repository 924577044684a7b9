import pytest

from homeport.cli.model_definition import read_definition
from homeport.cli.modelfile import ModelfileError


def fields(*lines):
    return dict(read_definition("\n".join(("FROM a", *lines))).fields)


def test_a_definition_holds_the_fields_of_the_request():
    """Texts, licences and messages are collected as the route takes them."""
    assert fields(
        "TEMPLATE {{ .Prompt }}", "SYSTEM old", "SYSTEM new", "LICENSE one", "LICENSE two",
        "MESSAGE user hi", "MESSAGE assistant hello", "REQUIRES 0.14.0",
    ) == {
        "template": "{{ .Prompt }}",
        "system": "new",
        "license": ["one", "two"],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        "requires": "0.14.0",
    }  # fmt: skip


def test_parameters_have_their_types():
    """The last value counts, but texts to stop at add up."""
    assert fields(
        "PARAMETER num_ctx 4096", "PARAMETER temperature 1", "PARAMETER temperature 0.5",
        "PARAMETER use_mmap True", 'PARAMETER stop "###"', "PARAMETER stop 5",
    ) == {
        "parameters": {"num_ctx": 4096, "temperature": 0.5, "use_mmap": True, "stop": ["###", "5"]}
    }  # fmt: skip


def test_nothing_said_is_nothing_sent():
    """A Modelfile of one line asks for no change, and an empty text is one."""
    assert fields() == {}
    assert fields('SYSTEM ""') == {"system": ""}


def test_sources_keep_their_order():
    """Every FROM counts."""
    assert read_definition("FROM a.gguf\nFROM b.gguf").sources == ("a.gguf", "b.gguf")


def test_what_has_no_effect_is_a_warning():
    """Parameters that Ollama dropped are named by line."""
    definition = read_definition("FROM a\nPARAMETER mirostat 1\nPARAMETER numa x")
    assert definition.fields == {}
    assert definition.warnings == (
        "(line 2): parameter mirostat is deprecated, it has no effect",
        "(line 3): parameter numa is deprecated, it has no effect",
    )


def test_every_line_at_fault_is_listed():
    """One reading tells all that cannot be translated, so that it is mended in one go."""
    with pytest.raises(ModelfileError) as caught:
        fields(
            "ADAPTER ./lora", "PARAMETER speed 3", "RENDERER x", "PARSER y", "DRAFT z", "REQUIRES soon",
            "PARAMETER num_ctx many", "PARAMETER temperature nan", "PARAMETER use_mmap maybe",
        )  # fmt: skip
    assert caught.value.message.splitlines() == [
        "(line 2): ADAPTER is not supported",
        "(line 3): unknown parameter 'speed'",
        "(line 4): RENDERER is not supported",
        "(line 5): PARSER is not supported",
        "(line 6): DRAFT is not supported",
        "(line 7): requires must be a valid semver (e.g. 0.14.0)",
        "(line 8): parameter num_ctx must be an integer, got 'many'",
        "(line 9): parameter temperature must be a number, got 'nan'",
        "(line 10): parameter use_mmap must be true or false, got 'maybe'",
    ]


def test_an_empty_from_names_nothing():
    """FROM with blanks only is told by its line."""
    with pytest.raises(ModelfileError, match=r"\(line 1\): FROM names no model"):
        read_definition('FROM ""\n')


@pytest.mark.parametrize("version", ["0.14.0", "v0.14", "1", "1.2.3-rc.1+build"])
def test_versions_may_be_short(version):
    """REQUIRES takes what semantic versions allow, and a leading v."""
    assert fields(f"REQUIRES {version}")["requires"] == version
