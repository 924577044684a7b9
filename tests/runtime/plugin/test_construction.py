"""Objects of plugins that cannot be built, in a live runtime."""

import attrs
import pytest
from loguru import logger

from homeport import (
    BackendKind,
    BackendSpec,
    ConfigError,
    ModelSourceSpec,
    MonitorSpec,
    PluginError,
    RouterSpec,
    Settings,
    hookimpl,
)
from homeport.config.loading import load_settings
from homeport.config.settings import GatewaySettings, PluginSettings
from homeport.plugin.construction import Construction
from homeport.plugin.manager import load_plugins
from homeport.plugin.registry import PluginState
from homeport.runtime import Runtime
from homeport.testing import EchoBackend, EchoPlugin

HERE = __name__


class Failing:
    def __init__(self):
        raise ValueError("no key")


class Leaving:
    def __init__(self):
        raise SystemExit(3)


class Stubborn(EchoBackend):
    async def aclose(self):
        raise RuntimeError("it does not close")


@attrs.frozen(kw_only=True)
class LoudConfig:
    volume: int = 3


class Loud(EchoBackend):
    def __init__(self, config):
        self.config = config


class Offering:
    """Offers a backend, and whatever else a test hands in."""

    def __init__(self, factory=f"{HERE}:EchoBackend", *, config=None, **others):
        self._spec = BackendSpec(name="tested", kind=BackendKind.REMOTE, factory=factory, config=config)
        self._others = others

    @hookimpl
    def homeport_backends(self):
        return [self._spec]

    @hookimpl
    def homeport_monitors(self):
        return self._others.get("monitors", ())

    @hookimpl
    def homeport_model_sources(self):
        return self._others.get("model_sources", ())

    @hookimpl
    def homeport_routers(self):
        return self._others.get("routers", ())


@pytest.fixture
def open_runtime(tmp_path):
    """Open a runtime with a plugin under test and the echo backend, and no installed ones."""

    def opened(plugin, *, gateway=None, origins=None, **plugins):
        given = {"tested": plugin, "echo": EchoPlugin()}
        settings = Settings(
            home=tmp_path / "home",
            gateway=gateway or GatewaySettings(),
            plugins=PluginSettings(**{"enabled": tuple(given), **plugins}),
        )
        return Runtime.open(settings, plugins=given, origins=origins)

    return opened


def status(runtime, name="tested"):
    return next(plugin for plugin in runtime.registry.plugins if plugin.name == name)


@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        (f"{HERE}:Failing", "ValueError: no key"),
        (f"{HERE}:Leaving", "SystemExit: 3"),
        ("no_such_module:Backend", "cannot import 'no_such_module:Backend'"),
    ],
)
async def test_backend_that_cannot_be_built_is_told_and_the_others_serve(open_runtime, factory, cause):
    """One plugin's mistake is named with its cause, and everybody else's models are there."""
    async with open_runtime(Offering(factory)) as runtime:
        assert [model.name for model in await runtime.catalog.list()] == ["echo:latest"]
        assert status(runtime).state is PluginState.FAILED
        assert "backends:tested" in status(runtime).cause
        assert cause in status(runtime).cause
        assert status(runtime, "echo").state is PluginState.ACTIVE


@pytest.mark.parametrize(("kind", "spec"), [("monitors", MonitorSpec), ("model_sources", ModelSourceSpec)])
async def test_other_object_that_cannot_be_built_is_left_out(open_runtime, kind, spec):
    """The plugin's other records are at work."""
    plugin = Offering(**{kind: [spec(name="broken", factory=f"{HERE}:Failing")]})
    async with open_runtime(plugin) as runtime:
        assert f"{kind}:broken" in status(runtime).cause
        assert {offer.backend for offer in await runtime.catalog.candidates("echo")} == {"echo", "tested"}


async def test_strict_mode_stops_at_an_object_that_cannot_be_built(open_runtime):
    """With ``[plugins] strict`` the error names plugin, distribution and the way out."""
    with pytest.raises(PluginError, match=r"'tested' .given by the caller.*no key.*-p no:tested"):
        async with open_runtime(Offering(f"{HERE}:Failing"), strict=True):
            pass


async def test_object_that_a_setting_asks_for_is_never_left_out(open_runtime):
    """A router that was chosen and cannot be built stops the start."""
    plugin = Offering(routers=[RouterSpec(name="broken", factory=f"{HERE}:Failing")])
    with pytest.raises(PluginError, match="routers:broken"):
        async with open_runtime(plugin, gateway=GatewaySettings(routers=("broken",))):
            pass


async def test_backend_that_fails_to_close_does_not_break_the_end(open_runtime):
    """The other backends are closed, and the program ends as it should."""
    async with open_runtime(Offering(f"{HERE}:Stubborn")) as runtime:
        assert status(runtime).state is PluginState.ACTIVE


async def test_faults_of_plugin_tables_stop_the_start_with_their_lines(open_runtime, tmp_path):
    """A misspelt table names the nearest, a wrong value its path, each with its place."""
    file = tmp_path / "homeport.toml"
    file.write_text('[plugins.testt]\n[plugins.tested]\nvolume = "high"\n')
    loaded = load_settings(file=file, environ={"HOME": "/nowhere"})
    plugins = {"enabled": (), "tables": loaded.settings.plugins.tables}
    with pytest.raises(ConfigError) as caught:
        async with open_runtime(
            Offering(f"{HERE}:Loud", config=LoudConfig), origins=loaded.origins, **plugins
        ):
            pass
    misspelt, wrong = str(caught.value).splitlines()
    assert misspelt.startswith("$.plugins.testt: no installed plugin has such settings")
    assert misspelt.endswith("did you mean 'tested'? (homeport.toml line 1)")
    assert wrong == "$.plugins.tested.volume: expected int, got 'high' (homeport.toml line 3)"


@pytest.mark.parametrize("name", ["transformers-cpu", "folder"])
async def test_table_of_a_plugin_that_does_not_run_is_no_fault(open_runtime, name):
    """Blocking a plugin does not ask for its settings to be taken out; what may be misspelt is told."""
    lines = []
    handler = logger.add(lines.append, format="{message}")
    try:
        async with open_runtime(Offering(), tables={name: {"anything": 1}}) as runtime:
            assert status(runtime, "transformers-cpu").state is PluginState.BLOCKED
    finally:
        logger.remove(handler)
    told = [line for line in lines if f"$.plugins.{name}" in line]
    assert len(told) == (name == "folder")


class Shared:
    """Plays two roles, and can be closed."""

    def __init__(self, config=None):
        self.config = config
        self.closed = 0

    async def observe(self, event):
        pass

    def rank(self, request, candidates):
        return candidates

    async def aclose(self):
        self.closed += 1


async def test_records_of_one_plugin_share_one_object_by_factory_and_table(tmp_path):
    """One factory and one table are one object, which is closed once; another table is another object."""
    factory = f"{HERE}:Shared"
    plugin = Offering(
        monitors=[MonitorSpec(name="shared", factory=factory, config=LoudConfig)],
        routers=[
            RouterSpec(name="cheap", table="shared", factory=factory, config=LoudConfig),
            RouterSpec(name="dear", factory=factory, config=LoudConfig),
        ],
    )
    tables = {"shared": {"volume": 7}}
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("tested",), tables=tables))
    registry = load_plugins(settings, {"tested": plugin})
    construction = Construction(settings, registry, {})
    monitor = construction.build_all("monitors")["shared"]
    routers = construction.build_all("routers")
    assert routers["cheap"] is monitor
    assert routers["dear"] is not monitor
    assert [routers[name].config.volume for name in ("cheap", "dear")] == [7, 3]
    await construction.aclose()
    assert (monitor.closed, routers["dear"].closed) == (1, 1)


def local(name, **more):
    return BackendSpec(name=name, kind=BackendKind.LOCAL, factory=f"{HERE}:EchoBackend", **more)


class Lacking:
    """Offers a local backend whose requirement nobody has, and those that a test hands in."""

    def __init__(self, *others):
        self._others = others

    @hookimpl
    def homeport_backends(self):
        return [local("heavy", requires=("no-such-distribution>=2",), extra="heavy"), *self._others]


@pytest.mark.parametrize(("others", "level"), [((local("light"),), "DEBUG"), ((), "WARNING")])
def test_backend_that_lacks_something_is_told_once(others, level):
    """It is no warning where another local backend serves, however often what is usable is asked for."""
    settings = Settings(plugins=PluginSettings(enabled=("tested",)))
    construction = Construction(settings, load_plugins(settings, {"tested": Lacking(*others)}), {})
    lines = []
    handler = logger.add(lines.append, format="{level} {message}", level="DEBUG")
    try:
        for _ in range(2):
            assert list(construction.usable("backends")) == [each.name for each in others]
            construction = construction.successor(settings, {})
    finally:
        logger.remove(handler)
    needs = "heavy is not used, it needs no-such-distribution>=2: pip install 'homeport[heavy]'"
    assert [line.strip() for line in lines] == [f"{level} {needs}"]
