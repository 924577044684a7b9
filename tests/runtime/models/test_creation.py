"""Making models from models and from files."""

import asyncio
import hashlib
import json
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import attrs
import psutil
import pytest

from homeport.domain.errors import InvalidRequestError, ModelNotFoundError, PullError, StoreError
from homeport.domain.messages import Message, Role
from homeport.domain.quantisation import WeightsWish
from homeport.models import entry as entry_module
from homeport.models.aliases import AliasTable
from homeport.models.blobs import Blobs
from homeport.models.creation import Creation, Creator
from homeport.models.definition import Definition
from homeport.models.job_process import JobKilledError
from homeport.models.names import ModelName
from homeport.models.pull import Puller
from homeport.models.quantisation_names import NamedQuantisation
from homeport.plugin.records import StoredForm

NAME = ModelName.parse("mine")
WHOLE = Definition(
    system="Be brief.",
    template="{{ .System }}|{{ .Prompt }}|{{ .Response }}",
    messages=(Message(Role.USER, "Hi"),),
    parameters={"stop": ("x",), "temperature": 0.0},
    license="MIT",
    requires="0.14.0",
)


@pytest.fixture
def blobs(store):
    return Blobs(store.root / "blobs", most_bytes=10**9)


@pytest.fixture
async def creator(store, blobs):
    aliases = AliasTable.load()
    creator = Creator(store, blobs, aliases, Puller(store, aliases, {}).pull, WeightsWish())
    yield creator
    await creator.aclose()


@pytest.fixture
def upload(blobs):
    """Upload data; gives its digest."""

    async def put(data):
        async def pieces():
            yield data

        digest = hashlib.sha256(data).hexdigest()
        await blobs.receive(digest, pieces())
        return digest

    return put


async def make(creator, creation=None, **fields):
    creation = creation or Creation(name=NAME, **fields)
    await creator.check(creation)
    return [step.status async for step in creator.create(creation)]


@contextmanager
def file_size_limit(most_bytes):
    """Let writes fail beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fetching_processes():
    """List the processes of this one that fetch and convert."""
    return [child for child in psutil.Process().children() if "homeport.models.fetching" in child.cmdline()]


def same_file(one, other):
    return one.samefile(other)


async def test_a_model_made_from_another_shares_its_weights(creator, store, install_tiny):
    """All that is said differs, nothing that weighs is copied, and the base stays as it is."""
    base = await asyncio.to_thread(install_tiny, store, "base")
    steps = await make(creator, base="base", definition=WHOLE)
    assert [step.split(" sha256:")[0] for step in steps[-7:]] == [
        *["creating new layer"] * 5, "writing manifest", "success",
    ]  # fmt: skip
    made = store.find(NAME)
    assert made.manifest.system == "Be brief."
    assert made.manifest.messages == WHOLE.messages
    assert made.manifest.parameters == WHOLE.parameters
    assert (made.manifest.license, made.manifest.requires) == ("MIT", "0.14.0")
    assert made.manifest.parent == "registry.ollama.ai/library/base:latest"
    assert made.manifest.written_template == WHOLE.template
    assert (made.folder / "chat_template.jinja").read_text() == made.manifest.template
    store.verify(made)
    for file in base.manifest.files:
        assert same_file(base.folder / file.path, made.folder / file.path)
    assert store.find(base.name) == base
    info = made.info("here")
    assert (info.system, info.messages, info.parent) == ("Be brief.", WHOLE.messages, made.manifest.parent)


async def test_everything_that_decides_over_answers_changes_the_digest(creator, store, install_tiny):
    """And the same said twice is the same entry, under two names."""
    base = await asyncio.to_thread(install_tiny, store, "base")
    definitions = [
        Definition(),
        Definition(system="a"),
        Definition(system="b"),
        Definition(template="{{ .Prompt }}"),
        Definition(messages=(Message(Role.USER, "a"),)),
        Definition(messages=(Message(Role.ASSISTANT, "a"),)),
        Definition(parameters={"seed": 1}),
        Definition(license="a"),
    ]
    for place, definition in enumerate([*definitions, definitions[1]]):
        name = ModelName.parse(f"m{place}")
        await make(creator, Creation(name=name, base="base", definition=definition))
    digests = [store.find(ModelName.parse(f"m{place}")).digest for place in range(len(definitions) + 1)]
    assert len({base.digest, *digests}) == len(definitions) + 1
    assert digests[-1] == digests[1]


async def test_a_model_made_from_a_made_one_inherits_what_it_does_not_say(creator, store, install_tiny):
    """Parameters are laid over those of the base, licences add up, texts take their place."""
    await asyncio.to_thread(install_tiny, store, "base")
    await make(creator, Creation(name=ModelName.parse("first"), base="base", definition=WHOLE))
    said = Definition(system="Be long.", parameters={"temperature": 1.0}, license="BSD")
    await make(creator, base="first", definition=said)
    manifest = store.find(NAME).manifest
    assert (manifest.system, manifest.messages) == ("Be long.", WHOLE.messages)
    assert manifest.parameters == {"stop": ("x",), "temperature": 1.0}
    assert manifest.license == "MIT\nBSD"
    assert manifest.written_template == WHOLE.template
    assert manifest.parent.endswith("/first:latest")


async def test_a_model_can_be_made_anew_from_itself(creator, store, install_tiny):
    """Its name moves to the new entry, and the old one goes."""
    await asyncio.to_thread(install_tiny, store, "mine")
    for text in ("a", "b"):
        await make(creator, base="mine", definition=Definition(system=text))
    made = store.find(NAME)
    assert made.manifest.system == "b"
    assert [path.name for path in (store.root / "entries").iterdir()] == [made.digest]
    store.verify(made)


async def test_a_template_of_the_base_is_replaced_without_being_touched(creator, store, install_tiny):
    """The file of the base is a hard link; writing through it would change the base."""
    await asyncio.to_thread(install_tiny, store, "base")
    first = Definition(template="{{ .Prompt }}a")
    await make(creator, Creation(name=ModelName.parse("first"), base="base", definition=first))
    await make(creator, base="first", definition=Definition(template="{{ messages }}b"))
    made, before = store.find(NAME), store.find(ModelName.parse("first"))
    assert (made.folder / "chat_template.jinja").read_text() == "{{ messages }}b"
    assert (made.manifest.template, made.manifest.written_template) == ("{{ messages }}b", "")
    store.verify(before)


async def test_entries_that_share_files_go_one_by_one(creator, store, install_tiny):
    """Deleting the base leaves what was made from it whole, and the last one takes the weights along."""
    base = await asyncio.to_thread(install_tiny, store, "base")
    await make(creator, base="base", definition=Definition(system="a"))
    store.delete(base.name)
    made = store.find(NAME)
    store.verify(made)
    store.delete(NAME)
    assert list((store.root / "entries").iterdir()) == []


async def test_damage_of_shared_weights_is_found_in_all_who_share_them(creator, store, install_tiny):
    """Each is told how to mend it, and a file that two entries share is read once."""
    base = install_tiny(store)
    await make(creator, base="tiny", definition=WHOLE)
    made = store.find(NAME)
    hashed = {}
    store.verify(base, hashed)
    store.verify(made, hashed)
    assert len(hashed) == len(base.manifest.files) + 1  # the template is its own
    shared = made.folder / base.manifest.files[0].path
    data = bytearray(shared.read_bytes())
    data[-1] ^= 1
    shared.write_bytes(data)
    with pytest.raises(StoreError, match="homeport pull tiny:latest --force"):
        store.verify(base)
    with pytest.raises(StoreError, match="homeport create mine:latest -f FILE"):
        store.verify(made)


async def test_files_are_copied_where_the_disk_has_no_links(creator, store, install_tiny, monkeypatch):
    """Another disk, or a file system without them."""

    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    base = await asyncio.to_thread(install_tiny, store, "base")
    monkeypatch.setattr(entry_module.os, "link", refuse)
    await make(creator, base="base")
    made = store.find(NAME)
    store.verify(made)
    name = base.manifest.files[0].path
    assert not same_file(base.folder / name, made.folder / name)


async def test_a_copy_is_a_further_name(store, install_tiny):
    """The same entry under two names, which goes with the last of them."""
    base = await asyncio.to_thread(install_tiny, store, "base")
    store.give_name(base, NAME)
    assert store.find(NAME).digest == base.digest
    assert store.has_further_names(NAME)
    store.delete(base.name)
    assert not store.has_further_names(NAME)
    store.verify(store.find(NAME))
    store.delete(NAME)
    with pytest.raises(ModelNotFoundError):
        store.give_name(base, NAME)


async def test_a_disk_that_is_full_is_told_without_its_place(creator, store, install_tiny):
    """Nothing of the new model stays, and the base is as it was."""
    base = install_tiny(store)
    with file_size_limit(64 * 1024), pytest.raises(PullError, match="the model store cannot be written"):
        await make(creator, base="tiny", definition=Definition(template="{{ .Prompt }}" + "x" * 100_000))
    assert store.find(NAME) is None
    store.verify(base)
    assert not list((store.root / "incoming").iterdir())


async def test_an_unknown_base_is_pulled_first(creator):
    """What cannot be pulled fails as a pull does, and changes nothing."""
    with pytest.raises(PullError, match="pull model manifest: file does not exist"):
        await make(creator, base="nobody-has-this")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"files": {}}, "no files provided to convert"),
        ({"files": {"../a.gguf": "0" * 64}}, "file path must be relative"),
        ({"files": {"/a.gguf": "0" * 64}}, "file path must be relative"),
        ({"files": {"C:\\a.gguf": "0" * 64}}, "file path must be relative"),
        ({"files": {"a\\..\\..\\b.gguf": "0" * 64}}, "file path must be relative"),
        ({"files": {"": "0" * 64}}, "file path must be relative"),
        ({"files": {"a.gguf": "0" * 64}}, f'blob "sha256:{"0" * 64}" not found'),
        ({"files": {f"{i}.gguf": "0" * 64 for i in range(1025)}}, "at most 1024 are taken"),
        ({"base": "a/b/c/d"}, "invalid model name"),
        ({"base": "x", "definition": Definition(template="{{ .Promt }}")}, "template error: line 1"),
        (
            {"base": "x", "definition": Definition(template="{% if %}")},
            "template error: Expected an expression",
        ),
        (
            {"base": "x", "definition": Definition(template="{{ x | nofilter }}{% if x %}{% endif %}")},
            "nofilter",
        ),
        ({"base": "x", "definition": Definition(requires="x")}, "requires must be a valid semver"),
    ],
)
async def test_what_cannot_be_made_is_known_before_it_begins(creator, fields, complaint):
    """Each with its own words."""
    with pytest.raises(InvalidRequestError) as caught:
        await make(creator, **fields)
    assert complaint in caught.value.message


async def test_files_must_be_of_a_known_kind(creator, upload):
    """A file that says it is GGUF and is not, and one that says nothing."""
    digest = await upload(b"no model")
    with pytest.raises(InvalidRequestError, match="supplied file was not in GGUF format"):
        await make(creator, files={"a.gguf": digest})
    with pytest.raises(InvalidRequestError, match="unknown type"):
        await make(creator, files={"a.txt": digest})


async def test_a_gguf_file_becomes_a_model(creator, store, upload, gguf_path):
    """With its own texts and defaults, as after a pull; the upload stays a while for the next one."""
    data = await asyncio.to_thread(gguf_path.read_bytes)
    digest = await upload(data)
    definition = Definition(system="Be brief.", license="MIT")
    steps = await make(creator, files={"any name.bin": digest}, definition=definition)
    assert (steps[0], steps[-2:]) == ("parsing GGUF", ["writing manifest", "success"])
    assert "converting model" in steps
    made = store.find(NAME)
    assert (made.manifest.system, made.manifest.license, made.manifest.parent) == ("Be brief.", "MIT", "")
    assert made.manifest.quantization == "Q8_0"
    store.verify(made)
    assert not list((store.root / "incoming").iterdir())
    assert await make(creator, Creation(name=ModelName.parse("second"), files={"a.gguf": digest}))


async def test_a_folder_of_safetensors_becomes_a_model(creator, store, upload, gguf_path):
    """Files of several kinds, quantised as asked; the line says what becomes of it."""
    data = await asyncio.to_thread(gguf_path.read_bytes)
    await make(creator, Creation(name=ModelName.parse("base"), files={"a.gguf": await upload(data)}))
    named = NamedQuantisation.parse("f32")
    plain = Creation(name=ModelName.parse("plain"), files={"a.gguf": await upload(data)}, quantisation=named)
    assert "quantizing Q8_0 model to F32 (kept as fp32)" in await make(creator, plain)
    folder = store.find(ModelName.parse("plain")).folder
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            files[path.name] = await upload(await asyncio.to_thread(path.read_bytes))
    steps = await make(creator, files=files, quantisation=NamedQuantisation.parse("q4_K_M"))
    assert "quantizing F32 model to Q4_K_M (kept as int4)" in steps
    made = store.find(NAME).manifest
    assert (made.weights, made.family) == ("int4", "llama")
    assert steps[-1] == "success"


async def test_a_base_is_quantised_anew(creator, store, upload, gguf_path):
    """Only its weights change; one that is packed already cannot be made finer or coarser."""
    data = await asyncio.to_thread(gguf_path.read_bytes)
    numbers = NamedQuantisation.parse("fp32")
    base = Creation(name=ModelName.parse("base"), files={"a.gguf": await upload(data)}, quantisation=numbers)
    await make(creator, base)
    packed = NamedQuantisation.parse("q8_0")
    steps = await make(creator, base="base", quantisation=packed, definition=Definition(system="a"))
    assert "quantizing F32 model to Q8_0 (kept as int8)" in steps
    manifest = store.find(NAME).manifest
    assert (manifest.weights, manifest.quantization, manifest.system) == ("int8", "Q8_0", "a")
    assert manifest.template == store.find(base.name).manifest.template
    again = Creation(name=ModelName.parse("again"), base="mine", quantisation=packed)
    assert any(step.startswith("using existing layer") for step in await make(creator, again))
    with pytest.raises(InvalidRequestError, match="quantization is only supported for F16 and F32 models"):
        await make(creator, base="mine", quantisation=NamedQuantisation.parse("q4_0"))


async def test_a_damaged_file_is_the_clients_fault(creator, store, upload):
    """The converting process tells what is wrong; nothing is left."""
    digest = await upload(b"GGUF" + b"\0" * 100)
    with pytest.raises(InvalidRequestError, match="not a usable GGUF file"):
        await make(creator, files={"a.gguf": digest})
    assert store.find(NAME) is None
    assert not list((store.root / "incoming").iterdir())


async def test_a_disk_that_fills_up_while_files_are_converted_is_our_fault(creator, store, upload, gguf_path):
    """The files are sound, so that it is no wrong request."""
    digest = await upload(await asyncio.to_thread(gguf_path.read_bytes))
    with file_size_limit(4096), pytest.raises(PullError, match="the model cannot be written") as caught:
        await make(creator, files={"a.gguf": digest})
    assert caught.value.status == 500
    assert store.find(NAME) is None


async def test_a_killed_conversion_is_our_fault(creator, store, upload, gguf_path):
    """Memory ran out here, and the request may be right."""
    digest = await upload(await asyncio.to_thread(gguf_path.read_bytes))
    making = asyncio.create_task(make(creator, files={"a.gguf": digest}))
    async with asyncio.timeout(10):
        while not (converting := fetching_processes()):  # noqa: ASYNC110 - nothing tells that it began
            await asyncio.sleep(0)
    converting[0].kill()
    with pytest.raises(JobKilledError, match="for lack of memory") as caught:
        await making
    assert caught.value.status == 500
    assert store.find(NAME) is None


async def test_a_folder_with_code_or_pickles_is_refused(creator, upload):
    """Only weights and descriptions are read."""
    config = await upload(json.dumps({"model_type": "llama", "auto_map": {"x": "y"}}).encode())
    weights = await upload(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(InvalidRequestError, match=r"tokenizer\.json"):
        await make(creator, files={"config.json": config, "model.safetensors": weights})


async def test_the_same_is_made_once_for_all_who_ask(creator, store, install_tiny):
    """Three that ask at once follow one creation; others of that name wait for their turn."""
    await asyncio.to_thread(install_tiny, store, "base")
    same = Creation(name=NAME, base="base", definition=Definition(system="a"))
    other = attrs.evolve(same, definition=Definition(system="b"))
    results = await asyncio.gather(*(make(creator, each) for each in (same, same, same, other)))
    assert all(steps[-1] == "success" for steps in results)
    assert results[0] == results[1] == results[2]
    assert store.find(NAME).manifest.system in {"a", "b"}


async def test_a_creation_that_is_left_leaves_the_old_model(creator, store, install_tiny, upload, gguf_path):
    """When the last who follows goes, its process ends and the name means what it meant."""
    old = await asyncio.to_thread(install_tiny, store, "mine")
    data = await asyncio.to_thread(gguf_path.read_bytes)
    steps = creator.create(Creation(name=NAME, files={"a.gguf": await upload(data)}))
    assert (await anext(steps)).status == "parsing GGUF"
    await steps.aclose()
    assert store.find(NAME) == old
    assert not list((store.root / "incoming").iterdir())


HOST = """
import asyncio, os, sys
from pathlib import Path
from homeport.domain.quantisation import WeightsWish
from homeport.models.aliases import AliasTable
from homeport.models.blobs import Blobs
from homeport.models.creation import Creation, Creator
from homeport.models.definition import Definition
from homeport.models.names import ModelName
from homeport.models.store import ModelStore

async def main():
    store = ModelStore(Path(sys.argv[1]))
    creator = Creator(store, Blobs(store.root / "blobs", 10**9), AliasTable.load(), None, WeightsWish())
    files = {"a.gguf": sys.argv[3]} if sys.argv[3] else None
    base = "" if files else "mine"
    name, new = ModelName.parse("mine"), Definition(system="new")
    creation = Creation(name=name, base=base, files=files, definition=new)
    async for step in creator.create(creation):
        if step.status.startswith(sys.argv[2]):
            os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("step", "from_files"),
    [
        ("parsing", True),
        ("converting", True),
        ("writing", True),
        ("creating", False),
        ("writing", False),
        ("success", False),
    ],
)
async def test_a_killed_creation_leaves_the_old_model_or_the_new_one(  # noqa: PLR0917
    creator, store, install_tiny, upload, gguf_path, step, from_files
):
    """``kill -9`` at any step: the name means one of the two, whole, and the next creation cleans up."""
    old = await asyncio.to_thread(install_tiny, store, "mine")
    digest = await upload(await asyncio.to_thread(gguf_path.read_bytes)) if from_files else ""
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", HOST, str(store.root), step, digest], check=False
    )
    assert killed.returncode == -9
    found = store.find(NAME)
    store.verify(found)
    assert found == old or step in {"writing", "success"}
    await make(creator, base="mine", definition=Definition(system="after"))
    assert store.find(NAME).manifest.system == "after"
    assert not list((store.root / "incoming").iterdir())


@pytest.mark.parametrize(
    ("text", "form", "label"),
    [
        ("q4_0", "int4", "Q4_0 (kept as int4)"),
        ("Q4_K_M", "int4", "Q4_K_M (kept as int4)"),
        ("q8_0", "int8", "Q8_0 (kept as int8)"),
        ("f16", "bf16", "F16 (kept as bf16)"),
        ("bf16", "bf16", "BF16"),
        ("int4", "int4", "INT4"),
    ],
)
def test_ollamas_quantisations_have_forms_here(text, form, label):
    """In any case; the label says what becomes of them."""
    named = NamedQuantisation.parse(text)
    assert (named.wish.quantisation, named.wish.is_demanded, named.label) == (form, True, label)


def test_an_unknown_quantisation_is_refused():
    """With those that there are."""
    with pytest.raises(InvalidRequestError, match="unknown type 'q9_0': quantize can be q4_0, "):
        NamedQuantisation.parse("q9_0")


async def test_a_model_that_is_made_is_built_at_once_and_shares_the_build_of_its_base(
    store, blobs, workshop, orders, install_tiny
):
    """Texts of its own need no build of their own; another template is another file, which does."""
    base = install_tiny(store)
    aliases = AliasTable.load()
    creator = Creator(
        store, blobs, aliases, Puller(store, aliases, {}).pull, WeightsWish(), workshop=workshop
    )
    steps = await make(creator, base="tiny", definition=Definition(system="Be brief."))
    assert steps[-2:] == ["building for scripted", "success"]
    assert workshop.find(store.find(NAME)) == workshop.find(base)
    assert orders.builds == 1
    await make(creator, base="tiny", definition=Definition(template=WHOLE.template))
    assert orders.builds == 2
    await creator.aclose()


async def test_an_exported_model_is_derived_but_never_quantised(creator, store, install_tiny):
    """What another program exported keeps its form; other weights cannot be made of it."""
    tiny = await asyncio.to_thread(install_tiny, store, "tiny")
    exported = attrs.evolve(tiny.manifest, form=StoredForm.ONNX)
    with store.staging() as folder:
        shutil.copytree(tiny.folder, folder / "entry", ignore=shutil.ignore_patterns("manifest.json"))
        store.commit(folder / "entry", exported, [ModelName.parse("exported")])
    with pytest.raises(InvalidRequestError, match="exported:latest is stored as ONNX, as it was exported"):
        await make(creator, base="exported", quantisation=NamedQuantisation.parse("q4_0"))
    await make(creator, base="exported", definition=Definition(system="Be brief."))
    assert store.find(NAME).manifest.form is StoredForm.ONNX
