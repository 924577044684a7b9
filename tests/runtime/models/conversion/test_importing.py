"""From what a source left to an entry: what a definition beside the weights changes."""

import json
import shutil

import pytest

from homeport import Artifact, Capability, PullError
from homeport.domain.messages import Message, Role
from homeport.domain.quantisation import WeightsWish
from homeport.engine.tokenizer import TextTokenizer
from homeport.models.conversion.importing import convert, precision_of


@pytest.fixture
def imported(tmp_path, gguf_path):
    """Convert the tiny GGUF file with a definition beside it; gives the manifest and the folder."""

    def run(definition=None, weights=gguf_path):
        download = tmp_path / "download"
        download.mkdir()
        shutil.copy(weights, download / "model.gguf")
        if definition is not None:
            text = definition if isinstance(definition, str) else json.dumps(definition)
            (download / "definition.json").write_text(text)
        manifest = convert(
            download,
            tmp_path / "entry",
            artifact=Artifact(source="tests", locator="tests:tiny"),
            wish=WeightsWish(),
            room_bytes=10**9,
            progress=lambda *_: None,
        )
        return manifest, tmp_path / "entry"

    return run


def test_a_definition_beside_the_weights_is_part_of_the_model(imported):
    """Its texts, parameters and template, which is translated; the file itself stays behind."""
    template = "{{ .System }}|{{ .Prompt }}|{{ .Response }}"
    manifest, folder = imported(
        {
            "system": "Be brief.",
            "template": template,
            "messages": [{"role": "user", "content": "Hi"}],
            "parameters": {"stop": ["x"], "temperature": 0.5},
            "license": "MIT",
        }
    )
    assert (manifest.system, manifest.license) == ("Be brief.", "MIT")
    assert manifest.messages == (Message(Role.USER, "Hi"),)
    assert manifest.parameters == {"stop": ("x",), "temperature": 0.5}
    assert manifest.written_template == template
    assert (folder / "chat_template.jinja").read_text() == manifest.template
    assert "chat_template.jinja" in [file.path for file in manifest.files]
    assert not (folder / "definition.json").exists()


def test_weights_without_one_are_as_they_were(imported):
    """An entry that was pulled before keeps its digest."""
    manifest, folder = imported()
    assert (manifest.system, manifest.messages, manifest.written_template) == ("", (), "")
    assert not (folder / "chat_template.jinja").exists()


def test_a_template_that_cannot_be_translated_gives_way_to_that_of_the_weights(imported):
    """The rest of the definition counts, and the model's facts say why."""
    manifest, _ = imported({"template": "{{ .Promt }}", "system": "Be brief."})
    assert manifest.template == "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    assert manifest.system == "Be brief."
    assert (
        "template error: line 1: a template has no field .Promt" in manifest.facts["homeport.template_note"]
    )


def test_a_template_that_cannot_be_translated_and_is_the_only_one_fails(imported, write_gguf, tmp_path):
    """Nothing is guessed where no template is left."""
    path = write_gguf(tmp_path / "bare.gguf", template="")
    with pytest.raises(PullError, match="template error: line 1"):
        imported({"template": "{{ .Promt }}"}, path)


@pytest.mark.parametrize(
    "definition",
    [
        "{",
        {"system": 1},
        {"what": "x"},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"parameters": {"": 1}},
    ],
)
def test_a_broken_definition_fails(imported, definition):
    """With what is wrong about it."""
    with pytest.raises(PullError, match="what the model says of itself cannot be used"):
        imported(definition)


@pytest.mark.parametrize(
    ("names", "fills"),
    [(("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), True), (("a1", "b2", "c3"), False)],
)
def test_a_vocabulary_with_tokens_for_gaps_fills_them(imported, write_gguf, tmp_path, names, fills):
    """The capability comes from the vocabulary."""
    path = write_gguf(tmp_path / "gaps.gguf", last_bytes=names)
    assert (Capability.INSERT in imported(weights=path)[0].capabilities) is fills


def test_the_precision_of_a_download_is_known_before_it_is_converted(tmp_path, gguf_path):
    """For the line that tells of quantising."""
    shutil.copy(gguf_path, tmp_path / "model.gguf")
    assert precision_of(tmp_path) == "Q8_0"


@pytest.mark.parametrize("leads", [True, False])
def test_a_begin_token_before_every_text_is_known_to_templates(imported, write_gguf, tmp_path, leads):
    """Go templates do not write it, as Ollama's tokenizer does; their translation asks for it."""
    path = write_gguf(tmp_path / "begin.gguf", fields={"tokenizer.ggml.add_bos_token": leads})
    _, folder = imported(weights=path)
    given = TextTokenizer(folder).special_tokens.get("leading_token")
    assert given == ("<|im_start|>" if leads else None)
