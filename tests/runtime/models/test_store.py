import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs
import pytest

from homeport.domain.errors import ModelNotFoundError, StoreError
from homeport.models.names import ModelName
from homeport.models.store import ModelStore

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights", "1_Pooling/config.json": b"[]"}
NAME = ModelName.parse("smollm2:135m")
OTHER = ModelName.parse("smollm2")


@pytest.fixture
def put(store, stage):
    """Put a model into the store."""

    def put_model(*names, content=CONTENT, **changes):
        with store.staging() as folder:
            manifest = stage(folder / "entry", content, **changes)
            return store.commit(folder / "entry", manifest, names or (NAME,))

    return put_model


def entries(store):
    """Names of all entry folders."""
    return sorted(path.name for path in (store.root / "entries").glob("*"))


def test_is_empty_before_it_exists(store):
    """A store that nobody wrote to lists nothing and makes no folder."""
    assert store.find(NAME) is None
    assert store.entries() == ()
    assert store.free_bytes() > 0
    assert not store.root.exists()


def test_finds_what_was_committed(store, put):
    """A committed model is found with its files, its manifest, and its time."""
    put(template="{{ x }}")
    model = store.find(ModelName.parse("SMOLLM2:135M"))
    assert (model.folder / "model.safetensors").read_bytes() == b"weights"
    assert model.manifest.template == "{{ x }}"
    assert model.size == sum(len(data) for data in CONTENT.values())
    assert model.digest == model.manifest.digest == model.folder.name
    store.verify(model)
    info = model.info("transformers-cpu")
    assert (info.name, info.backend, info.digest) == ("smollm2:135m", "transformers-cpu", model.digest)
    assert store.entries() == (model,)


def test_lists_the_newest_first(store, put):
    """Models come in the order in which their names were given, last first."""
    put(NAME)
    put(OTHER, content={"config.json": b"{ }"})
    assert [model.name for model in store.entries()] == [OTHER, NAME]


def test_weights_go_with_their_last_name(store, put):
    """Names of one digest share an entry; it is removed when the last of them goes."""
    put(NAME, OTHER)
    put(ModelName.parse("Hub/copy"))
    assert len(entries(store)) == 1
    store.delete(NAME)
    store.delete(OTHER)
    assert len(entries(store)) == 1
    store.delete(ModelName.parse("hub/copy"))
    assert entries(store) == []
    assert list((store.root / "names").iterdir()) == []


def test_a_name_moves_to_a_newer_model(store, put):
    """A second commit under the same name takes its place and drops what nobody names."""
    old = put()
    new = put(content={"config.json": b"{ }"})
    assert entries(store) == [new.digest]
    assert old.digest != new.digest


def test_deleting_an_unknown_name_is_an_error(store):
    """What is not there cannot be removed."""
    with pytest.raises(ModelNotFoundError, match="smollm2:135m"):
        store.delete(NAME)


def test_one_of_many_deletes_finds_the_model(store, put):
    """Of deletes at the same time one removes the model and the others find none."""
    for _ in range(10):
        put()
        start = threading.Barrier(3)
        with ThreadPoolExecutor(3) as threads:
            outcomes = list(threads.map(partial(_delete_at, start), [ModelStore(store.root)] * 3))
        assert sorted(outcomes) == ["deleted", "not found", "not found"]


def _delete_at(start, store):
    start.wait()
    try:
        store.delete(NAME)
    except ModelNotFoundError:
        return "not found"
    return "deleted"


DURING = """
import sys
from pathlib import Path
from homeport.models.names import ModelName
from homeport.models.store import ModelStore

store, name = ModelStore(Path(sys.argv[1])), ModelName.parse("smollm2:135m")
event, ending, reading = sys.argv[2:]

def interfere(seen, arguments):
    global ending
    if ending and seen == event and str(arguments[0]).endswith(ending):
        ending = ""
        store.delete(name)

sys.addaudithook(interfere)
print(store.find(name) if reading == "find" else store.survey())
"""


@pytest.mark.parametrize(
    ("moment", "reading", "shown"),
    [
        ("open manifest.json", "find", "None"),
        ("open manifest.json", "survey", "Survey(models=(), problems=())"),
        ("os.scandir library/smollm2", "survey", "Survey(models=(), problems=())"),
    ],
)
def test_a_delete_beside_a_reader_is_no_damage(store, put, moment, reading, shown):
    """A model that goes between two steps of a reader is absent, not damaged."""
    put()
    done = subprocess.run(
        [sys.executable, "-c", DURING, str(store.root), *moment.split(), reading],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == shown


def test_staging_leaves_nothing(store):
    """A staging folder goes when its work fails."""
    with pytest.raises(RuntimeError, match="stop"), store.staging() as folder:
        (folder / "half").write_text("x")
        raise RuntimeError("stop")
    assert list((store.root / "incoming").iterdir()) == []


def test_sweeps_what_a_killed_process_left(store):
    """A folder whose process is dead is removed; one whose process lives is kept."""
    code = (
        "import os, sys, pathlib; from homeport.models.store import ModelStore\n"
        "with ModelStore(pathlib.Path(sys.argv[1])).staging() as folder:\n"
        "    (folder / 'half').write_text('x'); print(folder.name, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(store.root)], check=False, capture_output=True, text=True
    )
    left = store.root / "incoming" / killed.stdout.strip()
    assert left.is_dir()
    with store.staging() as ours:
        assert not left.exists()
        with store.staging() as theirs:
            assert ours.is_dir()
            assert theirs != ours


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "has 5 bytes, expected 7"),
        (
            lambda folder: (folder / "code.py").write_text("x"),
            "code.py is in the folder but not in the manifest",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
        (
            lambda folder: (folder / "manifest.json").write_bytes(
                (folder / "manifest.json").read_bytes().replace(b'"template": ""', b'"template": "x"')
            ),
            "its manifest",
        ),
        (lambda folder: folder.rename(folder.parent / "gone"), "manifest.json"),
    ],
)
def test_a_damaged_model_is_reported_alone(store, put, damage, complaint):
    """One damaged entry is an error with the way to mend it; the others are listed, and it can be removed."""
    sound = put(OTHER, content={"config.json": b"{ }"})
    damage(put(NAME).folder)
    with pytest.raises(StoreError, match=complaint) as caught:
        store.find(NAME)
    assert "'smollm2:135m'" in caught.value.message
    assert "homeport pull smollm2:135m --force" in caught.value.hint
    survey = store.survey()
    assert survey.models == (sound,)
    assert [problem.name for problem in survey.problems] == [NAME]
    store.delete(NAME)
    assert store.survey().problems == ()


def test_verify_finds_a_flipped_byte(store, put):
    """A change that keeps the size is found by hashing."""
    model = put()
    (model.folder / "model.safetensors").write_bytes(b"weighty")
    assert store.find(NAME) == model
    with pytest.raises(StoreError, match=r"sha256 of model\.safetensors") as caught:
        store.verify(model)
    assert "homeport pull smollm2:135m --force" in caught.value.hint


def test_a_second_commit_mends_an_entry(store, put):
    """Committing the same model again replaces damaged, missing and added files."""
    model = put()
    (model.folder / "model.safetensors").write_bytes(b"weighty")
    (model.folder / "config.json").unlink()
    (model.folder / "code.py").write_text("x")
    assert put().digest == model.digest
    store.verify(store.find(NAME))


def test_a_damaged_record_keeps_all_weights(store, put):
    """While it is unknown what a name means, no entry is dropped."""
    put(OTHER, content={"config.json": b"{ }"})
    put(NAME)
    (record,) = (store.root / "names").rglob("135m.json")
    record.write_text("{}")
    store.delete(OTHER)
    assert len(entries(store)) == 2
    store.delete(NAME)
    assert entries(store) == []


@pytest.mark.parametrize("where", ["names/registry.ollama.ai", "entries"])
def test_follows_no_links(store, put, tmp_path, where):
    """A folder of the store that was replaced by a link is refused, even if all is in order behind it."""
    put()
    folder = store.root / where
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        store.find(NAME)


def test_refuses_a_link_among_the_files(store, put, tmp_path):
    """A file of an entry that was replaced by a link is as good as missing."""
    model = put()
    file = model.folder / "model.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="no regular file"):
        store.find(NAME)


def test_refuses_a_commit_that_is_not_what_it_says(store, stage):
    """A staged folder must hold the files of its manifest and no others; nothing is left of a refused one."""
    with store.staging() as folder:
        manifest = stage(folder / "entry", CONTENT)
        with pytest.raises(StoreError, match="expected 8"):
            store.commit(folder / "entry", attrs.evolve(manifest, files=_longer(manifest.files)), [NAME])
        (folder / "entry" / "code.py").write_text("x")
        with pytest.raises(StoreError, match="not in the manifest"):
            store.commit(folder / "entry", manifest, [NAME])
    assert store.survey() == ModelStore(store.root).survey()
    assert entries(store) == []


def _longer(files):
    return tuple(attrs.evolve(file, size=8) if file.size == 7 else file for file in files)


def test_names_that_no_disk_can_hold_are_not_found(store, put):
    """A host may have 350 characters, a file name 255 bytes: such a model is absent and cannot be put."""
    name = ModelName.parse(f"{'h' * 300}/team/model")
    assert store.find(name) is None
    with pytest.raises(StoreError, match="longer than a file name"):
        put(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_names_a_disk_that_cannot_be_written(tmp_path):
    """A read-only folder is an error that names it and the setting that moves it."""
    tmp_path.chmod(0o500)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot write") as caught, store.staging():
        pass
    assert "HOMEPORT_HOME" in caught.value.hint


def test_a_file_in_place_of_the_store_is_refused(tmp_path):
    """A store whose root is a file cannot be written; the error says so."""
    (tmp_path / "store").write_text("x")
    with pytest.raises(StoreError, match="cannot write"), ModelStore(tmp_path / "store").staging():
        pass
