import pytest

from homeport.cli.model_files import files_of
from homeport.cli.modelfile import ModelfileError


@pytest.fixture
def folder(tmp_path):
    """Where a Modelfile lies, with weights of every kind beside it."""
    for name in (
        "weights.gguf", "whole/model.safetensors", "whole/config.json", "whole/1_Pooling/config.json",
        "whole/notes.txt", "whole/pytorch_model.bin", "quantised/model.Q4_0.gguf", "pickles/model.bin",
        "smollm2/readme", "list.txt",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(source, folder):
    return sorted(files_of(source, folder))


def test_a_gguf_file_is_itself(folder):
    """A relative path begins where the Modelfile lies."""
    assert files_of("./weights.gguf", folder) == {"weights.gguf": folder / "weights.gguf"}
    assert names("weights.gguf", folder) == ["weights.gguf"]
    assert names(str(folder / "weights.gguf"), folder) == ["weights.gguf"]


def test_a_folder_of_safetensors_is_what_describes_them(folder):
    """Weights, configuration and tokenizer go along; notes and pickles stay."""
    assert names("./whole", folder) == ["1_Pooling/config.json", "config.json", "model.safetensors"]


def test_a_folder_with_one_gguf_file_is_that_file(folder):
    """Downloads often lie in a folder of their own."""
    assert names("quantised", folder) == ["model.Q4_0.gguf"]


def test_a_linked_file_counts(folder):
    """The cache of the hub client is made of links."""
    (folder / "linked").mkdir()
    (folder / "linked" / "model.gguf").symlink_to(folder / "weights.gguf")
    assert names("./linked", folder) == ["model.gguf"]


@pytest.mark.parametrize("source", ["smollm2", "smollm2:135m", "owner/name", "hf.co/owner/name:Q4_0"])
def test_a_name_is_no_path(source, folder):
    """What leads to no weights and looks like no path is a model, also beside a folder of that name."""
    assert files_of(source, folder) == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("./nowhere", "there is nothing at"),
        ("missing.gguf", "there is nothing at"),
        ("/nowhere/at/all", "there is nothing at"),
        ("./list.txt", "is no .gguf file"),
        ("list.txt", "is no .gguf file"),
        ("./pickles", "'model.bin', a pickle, which can run code"),
        ("./smollm2", "holds neither safetensors nor one .gguf file"),
    ],
)
def test_a_path_without_a_model_is_an_error(source, complaint, folder):
    """What can only be meant as a path is never taken for a name."""
    with pytest.raises(ModelfileError, match=complaint):
        files_of(source, folder)


def test_a_home_folder_is_found(folder, monkeypatch):
    """A tilde is the user's folder."""
    monkeypatch.setenv("HOME", str(folder))
    assert names("~/weights.gguf", folder) == ["weights.gguf"]
