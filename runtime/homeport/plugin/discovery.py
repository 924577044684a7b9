"""Which plugins are installed, and importing one of them safely."""

import threading
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import attrs

from homeport.config.settings import PluginSettings
from homeport.domain.errors import PluginError

ENTRY_POINT_GROUP = "homeport.plugins"
IMPORT_TIMEOUT_SECONDS = 10.0


@attrs.frozen(kw_only=True)
class FoundPlugin:
    """A plugin that is installed or was handed over, not yet imported.

    Attributes:
        name: Entry-point name.
        distribution: Name of its distribution.
        version: Of that distribution.
        source: Its entry point, or the plugin object itself.
    """

    name: str
    distribution: str
    version: str
    source: object

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()

    def load(self) -> object:
        """Import the plugin within ten seconds.

        Raises:
            PluginError: The import hangs; what the import raises passes through.
        """
        if not isinstance(self.source, metadata.EntryPoint):
            return self.source
        return _import_in_time(self.source)


def find_plugins(given: Mapping[str, object]) -> tuple[FoundPlugin, ...]:
    """List installed plugins by name, then those handed over by the caller."""
    installed = [
        FoundPlugin(
            name=entry.name,
            distribution=entry.dist.name if entry.dist else "unknown",
            version=entry.dist.version if entry.dist else "",
            source=entry,
        )
        for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)
    ]
    handed = [
        FoundPlugin(name=name, distribution="given by the caller", version="", source=plugin)
        for name, plugin in given.items()
    ]
    return (*sorted(installed, key=lambda plugin: (plugin.name, plugin.distribution)), *handed)


def block_reason(name: str, settings: PluginSettings) -> str:
    """Say why a plugin must not be imported; empty when it may."""
    if name in settings.disabled:
        return "disabled by -p no:NAME, HOMEPORT_DISABLED_PLUGINS or [plugins] disabled"
    if settings.enabled and name not in settings.enabled:
        return "not in the allow-list [plugins] enabled"
    return ""


def _import_in_time(entry: metadata.EntryPoint) -> object:
    """Import in a thread: an import that hangs cannot be ended, only left behind."""
    outcome: dict[str, Any] = {}

    def load() -> None:
        try:
            outcome["plugin"] = entry.load()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, also SystemExit
            outcome["error"] = error

    thread = threading.Thread(target=load, name=f"import-{entry.name}", daemon=True)
    thread.start()
    thread.join(IMPORT_TIMEOUT_SECONDS)
    if thread.is_alive():
        message = f"importing {entry.value!r} took more than {IMPORT_TIMEOUT_SECONDS:.0f} s"
        raise PluginError(message)
    error: BaseException | None = outcome.get("error")
    if isinstance(error, Exception):
        raise error
    if error is not None:
        message = f"the import ended the program: {error!r}"
        raise PluginError(message) from error
    plugin: object = outcome["plugin"]
    return plugin
