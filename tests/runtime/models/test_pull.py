import asyncio
import io
import sys
from contextlib import aclosing
from pathlib import Path

import attrs
import pytest
from loguru import logger

from homeport.domain.errors import InvalidRequestError, PullError
from homeport.domain.quantisation import Quantisation
from homeport.models.aliases import AliasTable
from homeport.models.job_process import JobKilledError
from homeport.models.names import ModelName
from homeport.models.pull import Puller, PullSource
from homeport.models.store import ModelStore

NAME = "tiny"
HUB = "hf:HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def scripted(importable):
    """The module of the scripted source, importable here and in fetching processes."""
    import scripted_source  # noqa: PLC0415 - it is on the path only now

    return scripted_source


@pytest.fixture
def script(scripted, gguf_path, tmp_path):
    """A script of a source that has the tiny model."""
    return scripted.Script(
        gguf=str(gguf_path),
        locators=("tiny:latest",),
        size=gguf_path.stat().st_size,
        log=str(tmp_path / "log"),
    )


@pytest.fixture
def puller(store, scripted):
    """Build a puller whose only source follows a script."""

    def build(script, aliases=None, **options):
        source = PullSource(
            source=scripted.ScriptedSource(script), factory="scripted_source:ScriptedSource", config=script
        )
        return Puller(store, aliases or AliasTable.load(), {"scripted": source}, **options)

    return build


@pytest.fixture
def logged():
    """What is logged as an error."""
    text = io.StringIO()
    sink = logger.add(text, level="ERROR")
    yield text
    logger.remove(sink)


async def collect(puller, name=NAME, **options):
    """Pull to the end and list the progress."""
    async with aclosing(puller.pull(name, **options)) as steps:
        return [step async for step in steps]


def fetches(script):
    """How often the source was asked to fetch."""
    log = Path(script.log)
    return len(log.read_text().splitlines()) if log.exists() else 0


def leftovers(store):
    """All that a pull could have left, but for the lock of the store."""
    return [path for path in store.root.rglob("*") if path.is_file() and path.name != ".lock"]


async def test_pull_installs_a_model(puller, script, store):
    """A pull tells Ollama's stages in order and leaves a whole, verified model and nothing else."""
    steps = await collect(puller(script))
    statuses = list(dict.fromkeys(step.status for step in steps))
    assert statuses[0] == "pulling manifest"
    assert statuses[1].startswith("pulling ")
    assert statuses[2:] == ["verifying sha256 digest", "converting model", "writing manifest", "success"]
    digest = next(step.digest for step in steps if step.digest)
    assert statuses[1] == f"pulling {digest.removeprefix('sha256:')[:12]}"
    last = [step for step in steps if step.digest][-1]
    assert last.completed == last.total == script.size
    model = store.find(ModelName.parse(NAME))
    store.verify(model)
    assert (model.manifest.source, model.manifest.locator) == ("scripted", "tiny:latest")
    assert model.manifest.license == "mit"
    assert {path.parent for path in leftovers(store)} == {
        model.folder, store.root / "names/registry.ollama.ai/library/tiny",
    }  # fmt: skip


async def test_no_code_runs_from_the_current_folder(puller, script, tmp_path, monkeypatch):
    """A module in the folder that the host stands in is not imported, whatever its name."""
    canary = f"open({str(tmp_path / 'sung')!r}, 'w').close()"
    for name in ("cattrs", "homeport", "gguf", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(canary)
    monkeypatch.chdir(tmp_path)
    await collect(puller(script))
    assert not (tmp_path / "sung").exists()


async def test_a_source_may_print_without_end(puller, script):
    """A line that is longer than any buffer is thrown away, and the pull goes on."""
    steps = await collect(puller(attrs.evolve(script, says=17 * 2**20)))
    assert steps[-1].status == "success"


async def test_an_installed_model_is_not_fetched_again(puller, script):
    """A second pull verifies what is there; only ``force`` fetches once more."""
    pulling = puller(script)
    await collect(pulling)
    steps = await collect(pulling)
    assert [step.status for step in steps] == ["pulling manifest", "verifying sha256 digest", "success"]
    assert fetches(script) == 1
    await collect(pulling, force=True)
    assert fetches(script) == 2


async def test_a_pull_mends_a_damaged_model(puller, script, store):
    """A model with a flipped byte is fetched again."""
    pulling = puller(script)
    await collect(pulling)
    model = store.find(ModelName.parse(NAME))
    weights = model.folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    await collect(pulling)
    store.verify(store.find(ModelName.parse(NAME)))
    assert fetches(script) == 2


async def test_all_who_ask_share_one_pull(puller, script, meeting):
    """Pulls of one model at the same time fetch it once, and each sees all stages."""
    pulling = puller(attrs.evolve(script, meeting=meeting.port))
    async with asyncio.TaskGroup() as tasks:
        pulls = [tasks.create_task(collect(pulling, name)) for name in (NAME, "tiny:latest", "library/tiny")]
        await meeting.dismiss()
    assert fetches(script) == 1
    stages = [list(dict.fromkeys(step.status for step in pull.result())) for pull in pulls]
    assert stages[0] == stages[1] == stages[2]
    assert stages[0][-1] == "success"


async def test_one_who_leaves_does_not_stop_the_others(puller, script, meeting):
    """A pull goes on while anybody still follows it."""
    pulling = puller(attrs.evolve(script, meeting=meeting.port))
    async with asyncio.TaskGroup() as tasks:
        stayer = tasks.create_task(collect(pulling))
        leaver = tasks.create_task(collect(pulling))
        guest = await meeting.guests.get()
        leaver.cancel()
        await asyncio.wait([leaver])
        await meeting.guests.put(guest)
        await meeting.dismiss()
    assert leaver.cancelled()
    assert stayer.result()[-1].status == "success"
    assert fetches(script) == 1


async def test_an_abandoned_pull_is_killed_and_leaves_nothing(puller, script, store, meeting):
    """When the last listener leaves, the process and its children end at once and no file remains."""
    pull = asyncio.create_task(collect(puller(attrs.evolve(script, meeting=meeting.port, hangs=True))))
    alive = await meeting.hanging()
    assert [path.name for path in leftovers(store) if path.name == "half"] == ["half"]
    pull.cancel()
    await asyncio.wait([pull])
    assert await alive.read() == b""
    assert leftovers(store) == []
    assert (await collect(puller(script)))[-1].status == "success"


async def test_closing_ends_all_pulls(puller, script, store, meeting):
    """A closed puller has no process and no file left; those who listened get an error."""
    pulling = puller(attrs.evolve(script, meeting=meeting.port, hangs=True))
    pull = asyncio.create_task(collect(pulling))
    alive = await meeting.hanging()
    await pulling.aclose()
    assert await alive.read() == b""
    with pytest.raises(PullError, match="interrupted"):
        await pull
    assert leftovers(store) == []


HOST = """
import asyncio, sys
from pathlib import Path
from scripted_source import Script, ScriptedSource
from homeport.domain.quantisation import Quantisation
from homeport.models.aliases import AliasTable
from homeport.models.pull import Puller, PullSource
from homeport.models.store import ModelStore

async def main():
    script = Script(locators=("tiny:latest",), meeting=int(sys.argv[2]), hangs=True)
    factory = "scripted_source:ScriptedSource"
    sources = {"scripted": PullSource(source=ScriptedSource(script), factory=factory, config=script)}
    async for step in Puller(ModelStore(Path(sys.argv[1])), AliasTable.load(), sources).pull("tiny"):
        pass

asyncio.run(main())
"""


async def test_a_killed_host_leaves_no_process(puller, script, store, meeting):
    """When the host is killed its fetching process ends by itself; the next pull starts cleanly."""
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, str(store.root), str(meeting.port)
    )
    alive = await meeting.hanging()
    host.kill()
    await host.wait()
    assert await alive.read() == b""
    assert store.entries() == ()
    assert [path.name for path in leftovers(store) if path.name == "half"] == ["half"]
    assert (await collect(puller(script)))[-1].status == "success"
    assert [path.name for path in leftovers(store) if path.name == "half"] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ending": "refuse"}, "the shop is closed. come back tomorrow"),
        ({"ending": "err"}, "fetching failed: ValueError. the log has the details"),
        ({"ending": "crash"}, "ended with code -6"),
        ({"item": 17 * 2**20}, "sent what is no report"),
        ({"largest_file": 4096}, "the model cannot be written: File too large. remove models"),
        ({"largest_file": 200_000}, "the model cannot be written: File too large. remove models"),
        ({"gguf": __file__}, "not a usable GGUF file"),
        ({"gguf": "/nowhere"}, "fetching failed: No such file or directory. the log has the details"),
    ],
)
async def test_a_failed_pull_leaves_nothing(puller, script, store, changes, complaint):
    """A source that refuses, crashes, fills the disk or brings rubbish leaves the store as it was."""
    pulling = puller(attrs.evolve(script, **changes))
    with pytest.raises(PullError) as caught:
        await collect(pulling, quantisation=Quantisation.FP32)
    assert complaint in str(caught.value)
    assert leftovers(store) == []
    assert store.survey().problems == ()


async def test_a_crash_leaves_no_child(puller, script, store, meeting):
    """What a fetching process started ends with it, also when it crashed and was reaped."""
    pulling = puller(attrs.evolve(script, meeting=meeting.port, hangs=True, ending="crash"))
    pull = asyncio.create_task(collect(pulling))
    alive = await meeting.hanging()
    with pytest.raises(PullError, match="ended with code -6"):
        await pull
    assert await alive.read() == b""
    assert leftovers(store) == []


async def test_what_a_source_raises_is_for_the_log(puller, script, logged):
    """An error that may name paths is logged with class and text; whoever asked reads the class."""
    with pytest.raises(PullError) as caught:
        await collect(puller(attrs.evolve(script, ending="err")))
    assert "/" not in str(caught.value)
    assert "ValueError: no use for /" in logged.getvalue()


async def test_a_refused_pull_logs_nothing_of_its_own(puller, script, logged):
    """Whoever asked is told, and the log then has it once, as the failure of that request."""
    with pytest.raises(PullError):
        await collect(puller(attrs.evolve(script, ending="refuse")))
    assert logged.getvalue() == ""


async def test_a_pull_that_cannot_fit_is_not_begun(puller, script, store):
    """The room is checked before anything is fetched, and the error has both figures."""
    with pytest.raises(
        PullError, match=r"'tiny:latest' needs about 3000000\.00 GB of disk, \d+\.\d\d GB are free"
    ) as caught:
        await collect(puller(attrs.evolve(script, size=10**15)))
    assert "homeport rm" in caught.value.hint
    assert fetches(script) == 0
    assert leftovers(store) == []


@pytest.mark.parametrize(
    ("quantisation", "figure"), [("fp32", "4000000.00"), ("bf16", "2000000.00"), (None, "1062500.00")]
)
async def test_room_counts_the_weights_of_the_alias(puller, script, store, quantisation, figure):
    """The number of weights that the alias table gives tells the room of the converted model."""
    alias = AliasTable.load().find(ModelName.parse("all-minilm"))
    aliases = AliasTable([attrs.evolve(alias, params=10**15)])
    script = attrs.evolve(script, locators=(f"hf:{alias.hub}",), size=0)
    wanted = quantisation and Quantisation(quantisation)
    with pytest.raises(PullError, match=f"needs about {figure} GB of disk"):
        await collect(puller(script, aliases), "all-minilm", quantisation=wanted)
    assert fetches(script) == 0


@pytest.mark.parametrize("name", ["", "../x", "/etc/passwd", "~/x", "a:b:c", "http://h/x"])
async def test_what_is_no_name_is_refused(puller, script, name):
    """A path or an address is an invalid name, before anything is asked."""
    with pytest.raises(InvalidRequestError, match="invalid model name"):
        await collect(puller(script), name)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("smolm2", "pull model manifest: file does not exist", "smollm2:latest"),
        ("zzzz", "pull model manifest: file does not exist", None),
        ("gpt:20b-cloud", "pull model manifest: file does not exist", None),
        ("someone/model", "pull model manifest: file does not exist", "homeport[onnx]"),
        (
            "tinyllama",
            "no model source that is installed here has 'tinyllama:latest'",
            "homeport[onnx]",
        ),
    ],
)
async def test_an_unknown_model_is_an_error_in_the_stream(puller, script, name, message, hint):
    """What no source has is told after the first progress, in Ollama's words, with names spelt alike."""
    steps = puller(script).pull(name)
    assert (await anext(steps)).status == "pulling manifest"
    with pytest.raises(PullError) as caught:
        await anext(steps)
    assert caught.value.message == message
    assert hint is None or hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "locator", "stored"),
    [
        ("smollm2", "smollm2:latest", "smollm2:latest"),
        ("smollm2", "smollm2:135m", "smollm2:135m"),
        ("smollm2", HUB, "smollm2:135m"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", HUB, "smollm2:135m"),
        ("someone/model", "hf:someone/model", "someone/model:latest"),
        ("hf.co/someone/model:Q8_0", "hf:someone/model?quant=Q8_0", "hf.co/someone/model:Q8_0"),
    ],
)
async def test_a_name_is_looked_for_in_order(puller, script, store, name, locator, stored):  # noqa: PLR0917
    """A name that a source knows goes first, then other tags of it, then the alias table, then the hub."""
    script = attrs.evolve(script, locators=(locator,))
    await collect(puller(script), name)
    (model,) = store.entries()
    assert (model.name.display, model.manifest.locator) == (stored, locator)


@pytest.mark.parametrize(
    ("quantisation", "weights", "fetched"),
    [
        (None, "int8", 1),
        (Quantisation.AUTO, "int8", 1),
        (Quantisation.INT8, "int8", 1),
        (Quantisation.INT4, "int4", 2),
        (Quantisation.BF16, "bf16", 2),
    ],
)
async def test_another_quantisation_is_fetched_again(puller, script, store, quantisation, weights, fetched):  # noqa: PLR0917
    """An installed model satisfies whoever does not ask, and whoever asks for what it is."""
    pulling = puller(script)
    await collect(pulling)
    await collect(pulling, quantisation=quantisation)
    manifest = store.entries()[0].manifest
    assert (manifest.weights, manifest.quantization, fetches(script)) == (weights, "Q8_0", fetched)
    assert manifest.quant == (Quantisation.AUTO if fetched == 1 else quantisation)


async def test_auto_takes_the_place_of_what_was_forced(puller, script, store):
    """Who asks for the automatic choice by name gets it, also where something else is installed."""
    pulling = puller(script)
    await collect(pulling, quantisation=Quantisation.FP32)
    await collect(pulling, quantisation=Quantisation.AUTO)
    (model,) = store.entries()
    assert (model.manifest.weights, model.manifest.quant) == ("int8", Quantisation.AUTO)


async def test_setting_decides_for_pulls_that_do_not_say(puller, script, store):
    """The quantisation of the settings holds where nobody asks for another."""
    await collect(puller(script, quantisation=Quantisation.INT4))
    assert store.entries()[0].manifest.weights == "int4"


async def test_pulls_of_two_quantisations_do_not_share_a_fetch(puller, script, store, meeting):
    """Who asks for another form while one is fetched does not get that one."""
    pulling = puller(attrs.evolve(script, meeting=meeting.port))
    pulls = [
        asyncio.create_task(collect(pulling, quantisation=wanted))
        for wanted in (Quantisation.INT4, Quantisation.INT8)
    ]
    for _ in pulls:
        await meeting.dismiss()
    assert [(await pull)[-1].status for pull in pulls] == ["success", "success"]
    assert fetches(script) == 2
    assert len(store.entries()) == 1


async def test_the_alias_gives_the_licence(puller, script, store):
    """The licence of the alias table goes before what the file says."""
    await collect(
        puller(attrs.evolve(script, locators=("hf:sentence-transformers/all-MiniLM-L6-v2",))), "all-minilm"
    )
    assert store.entries()[0].manifest.license == "apache-2.0"


async def test_a_store_that_cannot_be_written_is_an_error(puller, script, tmp_path):
    """A file where the store should be is told as such to whoever pulls, without its path."""
    (tmp_path / "store").write_text("x")
    with pytest.raises(PullError) as caught:
        await collect(puller(script))
    assert caught.value.message == "the model store cannot be written"
    assert str(tmp_path) not in str(caught.value)
    assert isinstance(ModelStore(tmp_path / "store").entries(), tuple)


async def test_what_is_pulled_is_built_at_once(puller, script, store, workshop, orders):
    """A pull ends when its model can be loaded; a second one has nothing to do."""
    pulling = puller(script, workshop=workshop)
    steps = await collect(pulling)
    statuses = list(dict.fromkeys(step.status for step in steps))
    assert statuses[-3:] == ["writing manifest", "building for scripted", "success"]
    assert (steps[-2].completed, steps[-2].total) == (1000, 1000)
    model = store.find(ModelName.parse(NAME))
    assert workshop.find(model) is not None
    assert "building for scripted" not in [step.status for step in await collect(pulling)]
    assert (orders.builds, fetches(script)) == (1, 1)


async def test_a_pull_of_an_installed_model_builds_what_is_missing(puller, script, workshop, orders):
    """After the backend was chosen that needs builds, a pull makes them and fetches nothing."""
    await collect(puller(script))
    steps = await collect(puller(script, workshop=workshop))
    assert "building for scripted" in [step.status for step in steps]
    assert (orders.builds, fetches(script)) == (1, 1)


async def test_a_forced_pull_builds_anew_and_keeps_what_serves_where_that_fails(
    puller, script, store, workshop, orders
):
    """A build that is sound and still of no use can be replaced, say after an update of its library."""
    await collect(puller(script, workshop=workshop))
    build = workshop.find(store.find(ModelName.parse(NAME)))
    orders.give(ending="exit")
    with pytest.raises(PullError, match="the building process ended with code 3") as caught:
        await collect(puller(script, workshop=workshop), force=True)
    assert caught.value.hint.startswith("It stays installed")
    workshop.verify(build)
    orders.give(size=2000)
    await collect(puller(script, workshop=workshop), force=True)
    assert workshop.find(store.find(ModelName.parse(NAME))).size_bytes == build.size_bytes + 1000
    assert (orders.builds, fetches(script)) == (3, 3)


async def test_a_pull_whose_build_fails_says_so_and_keeps_the_model(puller, script, store, workshop, orders):
    """What was fetched stays for other backends, and for the next try."""
    orders.give(ending="refuse")
    with pytest.raises(PullError) as caught:
        await collect(puller(script, workshop=workshop))
    assert str(caught.value) == (
        "tiny:latest cannot be built for scripted: the yard is closed. come back tomorrow"
    )
    assert store.find(ModelName.parse(NAME)) is not None
    assert list((store.root / "incoming").iterdir()) == []


async def test_a_pull_whose_builder_was_killed_says_what_becomes_of_the_model(
    puller, script, store, workshop, orders
):
    """It is installed: the next load builds it, or what was built before serves."""
    orders.give(ending="killed")
    pulling = puller(script, workshop=workshop)
    with pytest.raises(JobKilledError) as caught:
        await collect(pulling, force=True)
    assert caught.value.hint.startswith("It is installed, and is built when it is first loaded. Free memory")
    orders.give()
    await collect(pulling)
    orders.give(ending="killed")
    with pytest.raises(JobKilledError) as caught:
        await collect(pulling, force=True)
    assert caught.value.hint.startswith("It is installed, and the build that it had serves it. Free memory")
    assert workshop.find(store.find(ModelName.parse(NAME))) is not None
