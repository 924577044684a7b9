from pathlib import Path

import pytest

from homeport import Artifact, PullError
from homeport_sources.config import FolderConfig
from homeport_sources.folder import Folder

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "1_Pooling/config.json": b"[]",
    "evil.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"x",
}


@pytest.fixture
def folder(tmp_path):
    """A published model, with more than is needed."""
    path = tmp_path / "model"
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def source(**models):
    """The source with its settings."""
    return Folder(FolderConfig(models={name: str(path) for name, path in models.items()}))


def fetch(folder_source, artifact, into):
    """Fetch and list the files."""
    into.mkdir()
    told = []
    folder_source.fetch(artifact, into, lambda *progress: told.append(progress))
    return sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()), told


@pytest.mark.parametrize("name", ["mine", "mine:latest", "MINE:latest"])
def test_copies_what_is_needed(folder, tmp_path, name):
    """The name of the settings, however spelt, brings the needed files and no code."""
    folder_source = source(mine=folder)
    artifact = folder_source.locate(name)
    files, told = fetch(folder_source, artifact, tmp_path / "into")
    assert files == ["1_Pooling/config.json", "config.json", "model.safetensors", "tokenizer.json"]
    assert told[-1] == (name, artifact.size_bytes, artifact.size_bytes)
    assert folder.joinpath("model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("is_folder", [True, False])
def test_takes_a_gguf_file(tmp_path, is_folder):
    """A GGUF file is a model, be it named itself or by its folder."""
    path = tmp_path / "models" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    folder_source = source(mine=path.parent if is_folder else path)
    artifact = folder_source.locate("mine")
    assert artifact.size_bytes == 4
    assert fetch(folder_source, artifact, tmp_path / "into")[0] == ["tiny.gguf"]


@pytest.mark.parametrize("name", ["other", "/etc", "./model", "~", ""])
def test_a_path_is_no_name(folder, name):
    """Only names of the settings mean folders; a path given as a name means nothing."""
    assert source(mine=folder).locate(name) is None
    assert Folder().locate(name) is None


def test_a_missing_folder_is_an_error(tmp_path):
    """A folder that was set and is gone is told by the name, not by the path."""
    with pytest.raises(PullError, match="the folder that is set for 'mine' is missing") as caught:
        source(mine=tmp_path / "gone").locate("mine")
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_folder_is_told_for_each_of_its_tags(tmp_path):
    """Nobody else is asked for a model whose folder has gone."""
    gone = source(**{"house/mine": tmp_path / "gone"})
    for name in ("house/mine", "house/mine:q4"):
        with pytest.raises(PullError, match=f"the folder that is set for '{name}' is missing"):
            gone.locate(name)


def test_a_path_that_cannot_be_looked_at_is_told_as_missing():
    """So is what lies behind a folder that may not be read."""
    unreachable = source(**{"mine": Path("/" + "a" * 300), "mine:q4": Path("/" + "a" * 300)})
    for name in ("mine", "mine:q4"):
        with pytest.raises(PullError, match=f"the folder that is set for '{name}' is missing, or may not"):
            unreachable.locate(name)
    assert unreachable.locate("mine:q8") is None


def test_pickled_weights_are_refused(folder):
    """A folder with nothing but pickled weights is refused before anything is copied."""
    (folder / "model.safetensors").unlink()
    (folder / "onnx" / "model.onnx").unlink()
    with pytest.raises(PullError, match="only pickled weights"):
        source(mine=folder).locate("mine")


def test_a_name_that_is_set_no_more_is_an_error(tmp_path):
    """An artifact whose name has left the settings is told with the setting."""
    with pytest.raises(PullError, match="no folder is set for 'mine'") as caught:
        fetch(source(), Artifact(source="folder", locator="mine"), tmp_path / "into")
    assert "[plugins.folder]" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("mine:onnx", "onnx/model_q4.onnx"),
        ("mine:fp32", "onnx/model.onnx"),
        ("mine:Q4", "onnx/model_q4.onnx"),
        ("own:int8", "onnx/model_quantized.onnx"),
        ("own:other", "model.safetensors"),
    ],
)
def test_a_tag_may_choose_among_forms(folder, tmp_path, name, model):
    """The tag of a name that is set, or one behind it; a name that is set with another tag has all."""
    for file in ("model_q4.onnx", "model_quantized.onnx"):
        (folder / "onnx" / file).write_bytes(b"onnx")
    folder_source = source(**{"mine": folder, "own:int8": folder, "own:other": folder})
    files, _ = fetch(folder_source, folder_source.locate(name), tmp_path / "into")
    assert [file for file in files if file.startswith(("onnx", "model"))] == [model]


@pytest.mark.parametrize("name", ["mine:q8_0", "mine:big", "mine:135m", "hf:mine", "mine:latest:q4"])
def test_a_tag_that_names_no_form_is_another_name(folder, name):
    """What the folder does not hold may be a model of another source."""
    assert source(mine=folder).locate(name) is None


@pytest.mark.parametrize("name", ["house/mine:q8_0", "House/Mine:v2"])
def test_a_tag_behind_an_owner_that_names_no_form_is_refused(folder, name):
    """The hub is not asked for a name that the settings gave to a folder."""
    tag = name.partition(":")[2]
    with pytest.raises(PullError, match=f"'{name}' has no '{tag}' model") as caught:
        source(**{"house/mine": folder}).locate(name)
    assert caught.value.hint
    assert source(**{"house/mine": folder}).locate("house/other:q8_0") is None
