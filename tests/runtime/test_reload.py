import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from homeport import (
    Candidate,
    ChatPrompt,
    ConfigError,
    GenerationRequest,
    GuardSpec,
    Message,
    PluginError,
    Role,
    RouterSpec,
    Sampling,
    TextDelta,
    ValidatorSpec,
    hookimpl,
    setting,
)
from homeport.config.loading import load_settings
from homeport.runtime import Runtime
from homeport.testing import EchoPlugin

HERE = __name__


@attrs.frozen(kw_only=True)
class OrderConfig:
    """How the router orders."""

    word: str = setting("first", "what it writes into notes")
    broken: bool = setting(False, "whether it cannot be built")


class OrderRouter:
    built = 0
    closed = 0

    def __init__(self, config: OrderConfig) -> None:
        if config.broken:
            raise RuntimeError("it is broken")
        OrderRouter.built += 1
        self.word = config.word

    def rank(self, request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        return [attrs.evolve(each, note=self.word) for each in candidates]

    async def aclose(self) -> None:
        OrderRouter.closed += 1


@attrs.frozen(kw_only=True)
class LimitConfig:
    """What the guard allows."""

    most: int = setting(1, "of something")


class HalfRouter(OrderRouter):
    """Is told of settings that another router is built anew for."""

    latest: "HalfRouter"

    def __init__(self, config: OrderConfig) -> None:
        super().__init__(config)
        HalfRouter.latest = self

    def reconfigure(self, config: OrderConfig) -> None:
        self.word = config.word


class LimitGuard:
    """Keeps its state, and takes other settings."""

    latest: "LimitGuard"

    def __init__(self, config: LimitConfig, *, state: Path) -> None:
        self.config = config
        self.closed = False
        if type(self) is LimitGuard:
            LimitGuard.latest = self

    def reconfigure(self, config: LimitConfig) -> None:
        if config.most < 0:
            raise ValueError("it has spent more")
        self.config = config

    def objection(self, request, candidate) -> str:
        return ""

    @asynccontextmanager
    async def attempt(self, attempt):
        yield None

    async def aclose(self) -> None:
        self.closed = True


class StubbornGuard(LimitGuard):
    """Keeps its state, and cannot be told."""

    reconfigure = None


class Validator:
    pass


class Plugin:
    @hookimpl
    def homeport_routers(self):
        return [
            RouterSpec(name="order", factory=f"{HERE}:OrderRouter", config=OrderConfig),
            RouterSpec(name="half", factory=f"{HERE}:HalfRouter", config=OrderConfig, table="order"),
        ]

    @hookimpl
    def homeport_guards(self):
        return [
            GuardSpec(name="limit", factory=f"{HERE}:LimitGuard", config=LimitConfig, keeps_state=True),
            GuardSpec(name="stubborn", factory=f"{HERE}:StubbornGuard", config=LimitConfig, keeps_state=True),
        ]

    @hookimpl
    def homeport_validators(self):
        return [ValidatorSpec(name="idle", factory=f"{HERE}:Validator")]


PLUGINS: Mapping[str, object] = {"echo": EchoPlugin(), "own": Plugin()}


def request(model="echo") -> GenerationRequest:
    return GenerationRequest(
        id="r", model=model, prompt=ChatPrompt(messages=(Message(Role.USER, "hello"),)), sampling=Sampling()
    )


@pytest.fixture
def write(tmp_path):
    """Write the settings file."""
    path = tmp_path / "homeport.toml"

    def to_file(text: str) -> Path:
        path.write_text('[plugins]\nenabled = ["echo", "own"]\n' + text)
        return path

    return to_file


@pytest.fixture
def running(tmp_path):
    """Open a runtime whose settings can be read anew."""

    @asynccontextmanager
    async def start(file: Path):
        def load():
            return load_settings(file=file, environ={"HOMEPORT_HOME": str(tmp_path / "home")})

        loaded = load()
        async with Runtime.open(
            loaded.settings, plugins=PLUGINS, origins=loaded.origins, load=load
        ) as runtime:
            yield runtime

    return start


async def note_of(runtime) -> str:
    """Tell what the router in force writes."""
    decision = await runtime.gateway.planner.explain(request())
    return decision.ranked[0].note


ROUTED = '[gateway]\nrouters = ["order"]\n'


async def test_changed_settings_of_the_gateway_are_in_force_at_once(write, running):
    """Routers, routes, tiers and bounds go by the new file; what changed is named."""
    async with running(write(ROUTED)) as runtime:
        assert await note_of(runtime) == "first"
        write(
            ROUTED
            + "max_waiting = 7\n[gateway.timeouts]\nstall_seconds = 3\n[plugins.order]\nword = 'second'\n"
            '[routes.chat]\nmodels = ["echo"]\n[models]\nkeep_alive = "1h"\n[tiers]\nfast = ["echo"]\n'
        )
        report = await runtime.reload.run()
        assert await note_of(runtime) == "second"
        assert (await runtime.gateway.planner.explain(request("chat"))).ranked[0].model.name == "echo:latest"
        assert runtime.gateway.admission.stats().max_size == 7
        assert set(report.applied) >= {
            "gateway.max_waiting",
            "gateway.timeouts.stall_seconds",
            "plugins.order.word",
            "routes.chat.models",
            "models.keep_alive",
            "tiers.fast",
        }
        assert report.needs_restart == ()


async def test_what_cannot_change_is_named_and_the_rest_is_applied(write, running):
    """Address, plugins and tables of what cannot be told wait for the next start."""
    async with running(write("")) as runtime:
        write(
            'strict = true\n[server]\nport = 1\n[models]\npin = ["x"]\nslots = 3\n'
            "[plugins.stubborn]\nmost = 5\n"
        )
        report = await runtime.reload.run()
        assert set(report.needs_restart) == {
            "server.port",
            "plugins.strict",
            "models.pin",
            "plugins.stubborn.most",
        }
        assert report.applied == ("models.slots",)
        again = await runtime.reload.run()
        assert (set(again.needs_restart), again.applied) == (set(report.needs_restart), ())
        assert runtime.reload.settings.server.port == 11434


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[gateway]\nmax_waitin = 1\n",
            "unknown key 'max_waitin'; did you mean 'max_waiting'? (homeport.toml",
        ),
        ("[gateway]\nmax_waiting = 0\n", "$.gateway.max_waiting: must be at least 1, got 0"),
        ("[gateway", "not valid TOML"),
        ('[routes.a]\nmodels = ["../x"]\n', "can be the name of no model, tier or route (homeport.toml line"),
        ('[gateway]\nrouters = ["nobody"]\n', "$.gateway.routers: no plugin offers 'nobody'"),
        ("[plugins.order]\nwrod = 1\n", "$.plugins.order: unknown key 'wrod'; did you mean 'word'?"),
        ('[log]\nlevel = "LOUD"\n', "$.log.level: no level 'LOUD'"),
        (ROUTED + "[plugins.order]\nbroken = true\n", "it is broken"),
        ("[plugins.limit]\nmost = -1\n", "[plugins.limit] cannot be put in force: it has spent more"),
    ],
)
async def test_wrong_settings_change_nothing_and_say_why(write, running, text, message):
    """One fault, wherever it is found, keeps all the old settings."""
    async with running(write(ROUTED + "max_waiting = 9\n[plugins.limit]\nmost = 2\n")) as runtime:
        before = runtime.reload.settings
        write(text)
        with pytest.raises((ConfigError, PluginError)) as caught:
            await runtime.reload.run()
        assert message in str(caught.value)
        assert await note_of(runtime) == "first"
        assert runtime.gateway.admission.stats().max_size == 9
        assert runtime.reload.settings is before
        write(ROUTED + "max_waiting = 8\n")
        await runtime.reload.run()
        assert runtime.gateway.admission.stats().max_size == 8


async def test_a_missing_file_changes_nothing(write, running):
    """Whoever moves the file away has not asked for the defaults."""
    file = write("")
    async with running(file) as runtime:
        file.unlink()
        with pytest.raises(ConfigError, match="cannot read the settings file"):
            await runtime.reload.run()


async def test_what_did_not_change_is_not_built_anew(write, running):
    """A router whose own table stays keeps what it has learned."""
    async with running(write(ROUTED)) as runtime:
        built = OrderRouter.built
        write(ROUTED + "max_waiting = 5\n")
        await runtime.reload.run()
        assert OrderRouter.built == built


async def test_an_object_with_state_is_told_and_not_replaced(write, running):
    """A guard that counts goes on counting, by its new settings."""
    async with running(write("[plugins.limit]\nmost = 2\n")) as runtime:
        guard = LimitGuard.latest
        write("[plugins.limit]\nmost = 0\n")
        report = await runtime.reload.run()
        assert report.applied == ("plugins.limit.most",)
        assert LimitGuard.latest is guard
        assert guard.config.most == 0
        assert not guard.closed
    assert guard.closed


async def test_all_that_read_a_table_go_by_it(write, running):
    """One reader is told and the other built anew; neither stays behind."""
    routed = '[gateway]\nrouters = ["half", "order"]\n'
    async with running(write(routed)) as runtime:
        half = HalfRouter.latest
        write(routed + "[plugins.order]\nword = 'second'\n")
        report = await runtime.reload.run()
        assert report.applied == ("plugins.order.word",)
        assert HalfRouter.latest is half
        assert (half.word, await note_of(runtime)) == ("second", "second")


async def test_what_was_built_in_vain_is_closed_and_what_was_told_is_told_back(write, running):
    """A fault found late leaves neither a new object behind nor an old one with new settings."""
    routed = '[gateway]\nrouters = ["half", "order"]\n'
    async with running(write(routed)) as runtime:
        built, closed = OrderRouter.built, OrderRouter.closed
        write(routed + "[plugins.order]\nword = 'second'\n[plugins.limit]\nmost = -1\n")
        with pytest.raises(PluginError):
            await runtime.reload.run()
        assert (OrderRouter.built - built, OrderRouter.closed - closed) == (1, 1)
        assert (HalfRouter.latest.word, await note_of(runtime)) == ("first", "first")


async def test_what_was_replaced_is_closed_at_the_end(write, running):
    """Requests may still use it, so it stays open as long as the host does."""
    async with running(write(ROUTED)) as runtime:
        built, closed = OrderRouter.built, OrderRouter.closed
        write(ROUTED + "[plugins.order]\nword = 'second'\n")
        await runtime.reload.run()
        assert (OrderRouter.built - built, OrderRouter.closed - closed) == (1, 0)
    assert OrderRouter.closed - closed == 2


async def test_reloads_take_turns(write, running):
    """Several at once end in the settings that are written."""
    async with running(write(ROUTED)) as runtime:
        write(ROUTED + "max_waiting = 33\n")
        reports = await asyncio.gather(*(runtime.reload.run() for _ in range(5)))
        assert sum("gateway.max_waiting" in report.applied for report in reports) == 1
        assert runtime.gateway.admission.stats().max_size == 33


async def test_no_request_is_lost_while_settings_change(write, running):
    """Requests that come and run while the rules are swapped are answered all the same."""
    async with running(write(ROUTED)) as runtime:

        async def ask() -> str:
            async with runtime.gateway.generate(request()) as reply:
                return "".join([event.text async for event in reply if isinstance(event, TextDelta)])

        async def change() -> None:
            for number in range(10):
                write(f"{ROUTED}max_waiting = {100 + number}\n[plugins.order]\nword = 'w{number}'\n")
                await runtime.reload.run()

        changed = asyncio.ensure_future(change())
        answers = []
        while not changed.done():
            answers += await asyncio.gather(*(ask() for _ in range(20)))
        await changed
        assert set(answers) == {"hello"}
        assert await note_of(runtime) == "w9"


async def test_settings_given_in_code_cannot_be_read_anew(tmp_path, write):
    """There is no file to go back to, and that is said."""
    loaded = load_settings(file=write(""), environ={"HOMEPORT_HOME": str(tmp_path)})
    async with Runtime.open(loaded.settings, plugins=PLUGINS) as runtime:
        with pytest.raises(ConfigError, match="given in code"):
            await runtime.reload.run()
