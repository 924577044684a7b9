import sys
import types

import attrs
import pytest
from loguru import logger

from homeport import BackendKind, BackendSpec, MonitorSpec, PluginError, Settings, hookimpl
from homeport.config.settings import PluginSettings
from homeport.plugin.manager import load_plugins
from homeport.plugin.records import StoredForm
from homeport.plugin.registry import PluginState


def backend(name="parrot", **more):
    return BackendSpec(name=name, kind=BackendKind.REMOTE, factory="parrot.backend:Parrot", **more)


class Offering:
    """A plugin that offers the records it is given."""

    def __init__(self, *records):
        self._records = records

    @hookimpl
    def homeport_backends(self):
        return self._records


def load(given, **plugins):
    only_given = PluginSettings(**{"enabled": tuple(given), **plugins})
    return load_plugins(Settings(plugins=only_given), given)


def status(registry, name):
    return next(plugin for plugin in registry.plugins if plugin.name == name)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one plugin module into a folder on the path."""

    def write(name, code, version="1.2"):
        module = f"plugin_{name.replace('-', '_')}_module"
        info = tmp_path / f"dist_{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[homeport.plugins]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(code)
        return module

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for module in [name for name in sys.modules if name.startswith("plugin_") and name.endswith("_module")]:
        del sys.modules[module]


def test_records_are_kept_with_their_origin():
    """A record knows the plugin and distribution that brought it."""
    registry = load({"one": Offering(backend())})
    assert registry.backends["parrot"].plugin == "one"
    assert status(registry, "one").provides == ("backends:parrot",)


def test_module_and_object_plugins_work_alike(install):
    """An installed module is found through its entry point, with its distribution and version."""
    install("modular", MODULE)
    registry = load({}, enabled=("modular",))
    plugin = status(registry, "modular")
    assert (plugin.state, plugin.distribution, plugin.version) == (PluginState.ACTIVE, "dist-modular", "1.2")


MODULE = """
from homeport import MonitorSpec, hookimpl
@hookimpl
def homeport_monitors(settings):
    yield MonitorSpec(name="tally", factory="tally:Tally")
"""


@pytest.mark.parametrize("plugins", [{"enabled": (), "disabled": ("loud",)}, {"enabled": ("other",)}])
def test_blocked_plugin_is_never_imported(install, plugins):
    """Neither a disabled plugin nor one outside the allow-list runs a line of code."""
    module = install("loud", "raise SystemExit('imported')")
    registry = load({}, **plugins)
    assert status(registry, "loud").state is PluginState.BLOCKED
    assert module not in sys.modules


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "ended the program: SystemExit(3)"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("def broken(", "SyntaxError"),
    ],
)
def test_broken_plugin_is_reported_and_the_others_run(install, code, cause):
    """One plugin that cannot be imported is named with its cause; the rest are active."""
    install("broken", code)
    registry = load({"fine": Offering(backend())}, enabled=("broken", "fine"))
    broken = status(registry, "broken")
    assert broken.state is PluginState.FAILED
    assert cause in broken.cause
    assert status(registry, "fine").state is PluginState.ACTIVE


def test_plugin_that_hangs_on_import_is_left_behind(install, monkeypatch):
    """An import has a bound."""
    install("hanging", "import threading; threading.Event().wait(5)")
    monkeypatch.setattr("homeport.plugin.discovery.IMPORT_TIMEOUT_SECONDS", 0.2)
    assert "took more than" in status(load({}, enabled=("hanging",)), "hanging").cause


class Raising:
    @hookimpl
    def homeport_backends(self):
        raise RuntimeError("no")


class Leaving:
    @hookimpl
    def homeport_backends(self):
        raise SystemExit("bye")


class Halfway:
    @hookimpl
    def homeport_monitors(self):
        return [MonitorSpec(name="fine", factory="a:B")]

    @hookimpl
    def homeport_routers(self):
        return ["not a record"]


class Misspelt:
    @hookimpl
    def homeport_bakends(self):
        return []


class Asynchronous:
    @hookimpl
    async def homeport_backends(self):
        return []


class Defaulting:
    @hookimpl
    def homeport_backends(self, settings=None):
        return []


class Demanding:
    @hookimpl
    def homeport_backends(self, setings):
        return []


@attrs.frozen
class OneConfig:
    a: int = 1


@attrs.frozen
class OtherConfig:
    b: int = 1


class TwoTables:
    @hookimpl
    def homeport_backends(self):
        return [backend("same", config=OneConfig)]

    @hookimpl
    def homeport_monitors(self):
        return [MonitorSpec(name="same", factory="a:B", config=OtherConfig)]


class Watching:
    """A plugin that offers a monitor with settings."""

    def __init__(self, config):
        self._config = config

    @hookimpl
    def homeport_monitors(self):
        return [MonitorSpec(name="same", factory="a:B", config=self._config)]


class Modern:
    REQUIRES_PLUGIN_API = 99


@pytest.mark.parametrize(
    ("plugin", "cause"),
    [
        (Raising(), "RuntimeError: no"),
        (Leaving(), "SystemExit: bye"),
        (TwoTables(), "different settings in [plugins.same]"),
        (Halfway(), "returned 'not a record', not a RouterSpec"),
        (Misspelt(), "homeport_bakends"),
        (Asynchronous(), "is async"),
        (Defaulting(), "the default None"),
        (Demanding(), "setings"),
        (Modern(), "needs plugin API 99"),
        (Offering(backend(), backend()), "the name 'parrot' twice"),
    ],
)
def test_plugin_that_breaks_the_contract_leaves_nothing_registered(plugin, cause):
    """A wrong hook is refused with what to do, and records it declared before are gone."""
    registry = load({"wrong": plugin, "fine": Offering(backend("other"))})
    assert cause in status(registry, "wrong").cause
    assert not registry.monitors
    assert set(registry.backends) == {"other"}


def test_strict_mode_stops_at_the_first_broken_plugin():
    """With ``[plugins] strict`` a broken plugin is an error that says how to leave it out."""
    with pytest.raises(PluginError, match="-p no:wrong"):
        load({"wrong": Raising()}, strict=True)


def test_two_records_of_one_name_name_both_and_the_way_out():
    """A collision is an error, never a silent suffix."""
    with pytest.raises(PluginError) as caught:
        load({"one": Offering(backend()), "two": Offering(backend())})
    for text in ("'parrot'", "'one'", "'two'", "-p no:one", "-p no:two"):
        assert text in str(caught.value)


def test_two_plugins_of_one_name_name_both_distributions(install):
    """Two entry points of one name cannot be told apart, so nothing is guessed."""
    install("twin", MODULE)
    with pytest.raises(PluginError, match=r"'twin': \(dist-twin 1.2\) and \(given by the caller\)"):
        load({"twin": Offering()})
    assert [plugin.state for plugin in load({"twin": Offering()}, enabled=(), disabled=("twin",)).plugins][
        -2:
    ] == [PluginState.BLOCKED] * 2


def test_records_of_one_name_share_their_settings_or_are_refused():
    """One table is read by one class; records of different kinds may share it."""
    with pytest.raises(PluginError) as caught:
        load({"one": Offering(backend("same", config=OneConfig)), "two": Watching(OtherConfig)})
    for text in ("[plugins.same]", "'one'", "'two'", "-p no:one", "-p no:two"):
        assert text in str(caught.value)
    shared = load({"one": Offering(backend("same", config=OneConfig)), "two": Watching(OneConfig)})
    assert shared.config_classes() == {"same": OneConfig}


@pytest.mark.parametrize("plugins", [{"disabled": ("parot",)}, {"enabled": ("parrot", "parot")}])
def test_name_that_blocks_nothing_is_told_with_the_nearest(plugins):
    """A misspelt ``-p no:NAME`` is not silently nothing."""
    lines = []
    handler = logger.add(lines.append, format="{message}")
    try:
        load({"parrot": Offering()}, **plugins)
    finally:
        logger.remove(handler)
    (line,) = lines
    assert "no plugin 'parot' is installed" in line
    assert "did you mean 'parrot'?" in line


def test_unmet_requirement_is_reported_without_an_import():
    """Requirements are checked by metadata, and the remedy is named."""
    spec = backend(requires=("attrs>=1", "no-such-distribution>=2"), extra="parrot")
    registry = load({"one": Offering(spec)})
    assert registry.backends["parrot"].missing == ("no-such-distribution>=2",)
    (missing,) = status(registry, "one").missing
    assert "pip install 'homeport[parrot]'" in missing
    assert status(registry, "one").state is PluginState.UNUSED


def test_what_serves_in_the_place_of_a_backend_is_named():
    """Among local backends one may lack what it needs; a remote one has no equal."""
    needs = ("no-such-distribution>=2",)
    heavy = attrs.evolve(backend("heavy", requires=needs), kind=BackendKind.LOCAL)
    light = attrs.evolve(backend("light"), kind=BackendKind.LOCAL)
    registry = load({"one": Offering(heavy, light, backend("far", requires=needs))})
    assert [(lack.label, lack.stand_in) for lack in registry.lacks("one")] == [
        ("backends:heavy", "light"),
        ("backends:far", ""),
    ]
    assert status(registry, "one").state is PluginState.ACTIVE


def test_a_backend_of_other_formats_serves_in_nobodys_place():
    """What reads ONNX alone is no use for models that are stored as safetensors."""
    heavy = attrs.evolve(backend("heavy", requires=("no-such-distribution>=2",)), kind=BackendKind.LOCAL)
    onnx = attrs.evolve(backend("light"), kind=BackendKind.LOCAL, reads=frozenset({StoredForm.ONNX}))
    (lack,) = load({"one": Offering(heavy, onnx)}).lacks("one")
    assert lack.stand_in == ""


@pytest.mark.parametrize("change", [{"name": "Not A Name"}, {"factory": "no colon"}])
def test_malformed_record_cannot_be_built(change):
    """Names and import strings have a form."""
    with pytest.raises(ValueError, match="must match"):
        attrs.evolve(backend(), **change)


def test_module_without_hooks_is_active_and_offers_nothing():
    """A plugin may implement no hook at all."""
    registry = load({"empty": types.ModuleType("empty")})
    assert status(registry, "empty").state is PluginState.ACTIVE
