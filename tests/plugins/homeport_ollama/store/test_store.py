import json
import os
import subprocess
import sys

import pytest
from loguru import logger

from homeport import Capability, PullError, Shelf
from homeport.models.conversion.architectures import ARCHITECTURES
from homeport.models.definition import Definition
from homeport_ollama.store import READABLE_FAMILIES, OllamaStore, build
from homeport_ollama.store_config import OllamaStoreConfig


def names(source):
    """What a source lists."""
    return [model.name for model in source.models()]


def reasons(source):
    """Why models cannot be used."""
    return {model.info.name: model.obstacle for model in source.survey() if model.obstacle}


def nothing(*_):
    """Take progress and do nothing."""


@pytest.fixture
def told():
    """What is logged as a warning."""
    lines = []
    handle = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(handle)


def test_models_are_listed_with_what_their_config_tells(folder, source):
    """Name in short, digest of the manifest, size of all blobs, and facts of the config blob."""
    path = folder.add(
        "library/llama3.2/3b", config={"model_type": "3.2B", "file_type": "Q8_0"}, template="{{ .Tools }}"
    )
    folder.add("me/mine/latest")
    folder.add("user/repo/Q4_0", host="hf.co")
    assert isinstance(source, Shelf)
    assert set(names(source)) == {"llama3.2:3b", "me/mine:latest", "hf.co/user/repo:Q4_0"}
    (model,) = (model for model in source.models() if model.name == "llama3.2:3b")
    assert (model.family, model.parameter_count, model.quantization) == ("llama", 3_200_000_000, "Q8_0")
    read = json.loads(path.read_bytes())
    assert model.size_bytes == sum(layer["size"] for layer in [*read["layers"], read["config"]])
    assert model.capabilities == {Capability.COMPLETION, Capability.TOOLS}
    assert model.origin == "ollama-store"


def test_the_list_follows_the_folder(folder, source):
    """A model that comes or goes is seen at the next look; nothing is read while nothing changes."""
    assert names(source) == []
    folder.add("library/one/latest")
    assert names(source) == ["one:latest"]
    assert source.survey() is source.survey()
    path = folder.add("library/two/latest")
    assert set(names(source)) == {"one:latest", "two:latest"}
    path.unlink()
    assert names(source) == ["one:latest"]


def test_a_list_is_given_again_for_a_while(folder):
    """Every request asks for it; the folder is looked at once per pause."""
    source = OllamaStore(OllamaStoreConfig(folder=str(folder.root)), pause_seconds=3600)
    assert names(source) == []
    folder.add("library/one/latest")
    assert names(source) == []
    assert source.locate("one") is not None


def test_families_are_those_that_can_be_converted():
    """What is listed as usable is what the importer knows."""
    assert set(ARCHITECTURES) == READABLE_FAMILIES


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"adapter": "x"}, "adapter"),
        ({"projector": "x"}, "images"),
        ({"config": {"model_family": "bert"}}, "bert"),
        ({"config": {"model_families": ["llama", "clip"]}}, "clip"),
        ({"config": {"model_format": "safetensors"}}, "safetensors"),
    ],
)
def test_what_cannot_be_used_says_why(folder, source, changes, reason):
    """Adapters, projectors and strange architectures are not offered to anybody."""
    folder.add("library/odd/latest", **changes)
    assert names(source) == []
    assert reason in reasons(source)["odd:latest"]
    assert source.locate("odd") is None


def manifest(*layers, **more):
    """A manifest with layers of one's own."""
    return json.dumps(
        {"layers": [{"mediaType": "application/vnd.ollama.image.model", **each} for each in layers], **more}
    ).encode()


SHA = "ab" * 32


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"layers": null}',
        b'{"layers": [1]}',
        b" " * (1024**2 + 1),
        manifest({"digest": "sha256:../../../etc/passwd", "size": 1}),
        manifest({"digest": f"sha256:{SHA.upper()}", "size": 1}),
        manifest({"digest": f"sha256:{SHA}", "size": -1}),
        manifest({"digest": f"sha256:{SHA}", "size": 10**30}),
        manifest({"digest": f"sha256:{SHA}", "size": 1}),
        manifest({"digest": f"sha256:{SHA}", "size": "1"}),
        manifest(*[{"digest": f"sha256:{SHA}", "size": 1}] * 65),
        manifest(config={"mediaType": "x", "digest": f"sha256:{SHA}", "size": 10**9}),
        manifest({"digest": f"sha256:{SHA}", "size": 2**63 - 1}),
    ],
)
def test_hostile_manifests_are_left_out(folder, source, told, data):
    """One warning, the others are listed, and nothing raises."""
    folder.write("library/evil/latest", data)
    folder.add("library/good/latest")
    assert names(source) == ["good:latest"]
    assert "evil:latest" in reasons(source)
    source.models()
    folder.add("library/more/latest")
    source.models()
    assert len(told) == 1


@pytest.mark.parametrize("told_count", ["9" * 400 + "T", "9999999T", "1e9B", "M", "-1M"])
def test_a_count_that_cannot_be_hides_no_model(folder, source, told_count):
    """What a config blob says of the number of weights is for show: where it is none, nothing is shown."""
    folder.add("library/odd/latest", config={"model_type": told_count})
    folder.add("library/good/latest")
    assert sorted(names(source)) == ["good:latest", "odd:latest"]
    assert {model.name: model.parameter_count for model in source.models()}["odd:latest"] == 0


@pytest.mark.parametrize("seconds", [-(2**31), 2**33])
def test_a_manifest_of_an_impossible_time_is_listed(folder, source, seconds):
    """A clock that was wrong names a time before 1970, or after 2100; the disk may clamp it."""
    os.utime(folder.add("library/odd/latest"), (seconds, seconds))
    (model,) = source.models()
    assert 1970 <= model.modified_at.year < 2100


def test_names_that_are_none_are_left_out(folder, source):
    """Files in other places, and names that no client can ask for, are no models."""
    good = folder.add("library/good/latest").read_bytes()
    for name in ("library/good", "library/good/.hidden", "library/sp ace/latest", "li.b/x/a:b", "a/b/c/d"):
        if name != "library/good":
            folder.write(name, good)
    (folder.root / "manifests" / "stray").write_bytes(good)
    assert names(source) == ["good:latest"]


def test_no_link_leads_out_of_the_store(tmp_path, folder, source):
    """A blob, a manifest or a folder behind a link to elsewhere is not read; the store itself may be one."""
    path = folder.add("library/linked/latest", weights=b"mine")
    blob = next(each for each in (folder.root / "blobs").iterdir() if each.read_bytes() == b"mine")
    blob.rename(tmp_path / "outside")
    blob.symlink_to(tmp_path / "outside")
    assert "no file of the store" in reasons(source)["linked:latest"]
    (path.parent / "twin").symlink_to(path)
    (folder.root / "manifests" / "other.host").symlink_to(folder.root / "manifests" / "registry.ollama.ai")
    assert set(reasons(source)) == {"linked:latest"}
    blob.unlink()
    (tmp_path / "outside").rename(blob)
    (tmp_path / "alias").symlink_to(folder.root)
    through = OllamaStore(OllamaStoreConfig(folder=str(tmp_path / "alias")))
    assert names(through) == ["linked:latest"]


def test_a_folder_of_another_user_is_read_as_far_as_it_may_be(folder):
    """What may not be entered or read is left out; the rest is listed."""
    folder.add("library/open/latest", weights=b"open")
    folder.add("locked/shut/latest", weights=b"shut")
    folder.add("library/blind/latest", weights=b"blind")
    for blob in (folder.root / "blobs").iterdir():
        blob.chmod(0o000 if blob.read_bytes() == b"blind" else 0o644)
    (folder.root / "manifests" / "registry.ollama.ai" / "locked").chmod(0o000)
    code = (
        "import os, sys\n"
        "from homeport_ollama.store import OllamaStore\n"
        "from homeport_ollama.store_config import OllamaStoreConfig\n"
        "os.getuid() or os.setuid(65534)\n"
        "source = OllamaStore(OllamaStoreConfig(folder=sys.argv[1]))\n"
        "print(*(f'{model.info.name}={model.obstacle}' for model in source.survey()), sep=chr(10))"
    )
    for parent in folder.root.parents:
        if str(parent).startswith("/tmp/pytest"):
            parent.chmod(parent.stat().st_mode | 0o055)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, str(folder.root)], capture_output=True, text=True, check=True
        )
    finally:
        (folder.root / "manifests" / "registry.ollama.ai" / "locked").chmod(0o755)
    lines = ran.stdout.splitlines()
    assert "open:latest=" in lines
    assert any(line.startswith("blind:latest=") and "another user" in line for line in lines)
    assert not any("shut" in line for line in lines)


def test_what_is_fetched_is_linked_verified_and_described(tmp_path, folder, source):
    """The weights stay where they are; the other layers become a definition that the importer reads."""
    folder.add(
        "library/tiny/latest",
        template="{{ .System }}",
        system="Be brief.",
        params={"temperature": 0.5, "stop": ["a"], "nested": {"no": 1}},
        messages=[{"role": "user", "content": "hi"}],
        license="MIT",
    )
    into = tmp_path / "into"
    into.mkdir()
    steps = []
    artifact = source.locate("TINY")
    assert (artifact.size_bytes, artifact.local_bytes > 0) == (0, True)
    source.fetch(artifact, into, lambda *step: steps.append(step))
    assert (into / "model.gguf").is_symlink()
    assert (into / "model.gguf").read_bytes() == b"weights"
    assert steps[-1][1:] == (7, 7)
    definition = Definition.read(into)
    assert (definition.system, definition.license) == ("Be brief.", "MIT")
    assert definition.template == "{{ .System }}"
    assert definition.parameters == {"temperature": 0.5, "stop": ("a",)}
    assert [message.content for message in definition.messages] == ["hi"]


@pytest.mark.parametrize("damage", ["weights", "removed", "changed", "params", "messages"])
def test_what_was_damaged_is_not_fetched(tmp_path, folder, source, damage):
    """Wrong bytes, a blob or manifest that is gone or was replaced, and layers that are no JSON."""
    extra = {"params": "[]"} if damage == "params" else {"messages": "{}"} if damage == "messages" else {}
    path = folder.add("library/tiny/latest", **extra)
    artifact = source.locate("tiny:latest")
    if damage == "weights":
        blob = next(each for each in (folder.root / "blobs").iterdir() if each.read_bytes() == b"weights")
        blob.write_bytes(b"WEIGHTS")
    elif damage == "removed":
        path.unlink()
    elif damage == "changed":
        folder.add("library/tiny/latest", weights=b"other weights")
        os.utime(path, ns=(1, 1))
    with pytest.raises(PullError, match="'tiny:latest'"):
        source.fetch(artifact, tmp_path, nothing)


@pytest.mark.parametrize(
    "name", ["other", "a/b/c/d", "", "hf:me/tiny", "pypi:x==1?sha256=1#y", "../tiny", "tiny:"]
)
def test_other_names_are_not_recognised(folder, source, name):
    """Locators of other sources, and names that are none."""
    folder.add("library/tiny/latest")
    assert source.locate(name) is None


def test_it_can_be_switched_off_and_may_be_missing(tmp_path):
    """No folder is no models, and no error."""
    assert build(OllamaStoreConfig(enabled=False)) is None
    assert names(OllamaStore(OllamaStoreConfig(folder=str(tmp_path / "gone")))) == []
    assert names(OllamaStore(OllamaStoreConfig(folder="~nobody-of-that-name/x"))) == []
    (tmp_path / "file").write_text("x")
    assert names(OllamaStore(OllamaStoreConfig(folder=str(tmp_path / "file")))) == []
