"""What the loader found: plugins with their status, records with their origin."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

import attrs

from homeport.domain.errors import ConfigError, PluginError
from homeport.plugin.records import (
    BackendKind,
    BackendSpec,
    CommandSpec,
    GuardSpec,
    ModelSourceSpec,
    MonitorSpec,
    Record,
    RouterSpec,
    RouteSpec,
    ValidatorSpec,
)

RecordT = TypeVar("RecordT", bound=Record)


class PluginState(StrEnum):
    """How loading a plugin ended."""

    ACTIVE = "active"
    UNUSED = "unused"
    """It offers something, and requirements of all of it are missing."""
    BLOCKED = "blocked"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class PluginStatus:
    """One installed plugin.

    Attributes:
        name: Its entry point.
        distribution: Where it comes from.
        version: Of that distribution.
        state: Whether it runs.
        cause: Why it does not; empty when it does.
        provides: Its records, as ``backends:NAME``.
        missing: Requirements of its records that are not installed, each with the way to get it.
    """

    name: str
    distribution: str
    version: str
    state: PluginState
    cause: str = ""
    provides: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@attrs.frozen
class Registered(Generic[RecordT]):
    """A record, who brought it, and what it lacks.

    Attributes:
        record: As the hook returned it.
        plugin: Entry-point name of the plugin.
        distribution: Its distribution and version, for messages.
        missing: Unmet requirements; a record with any is listed but not used.
    """

    record: RecordT
    plugin: str
    distribution: str
    missing: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What to run so that nothing is missing."""
        extra = self.record.extra
        return f"pip install 'homeport[{extra}]'" if extra else f"pip install {' '.join(self.missing)}"


@attrs.frozen(kw_only=True)
class Lack:
    """A record that is not used because its requirements are not installed.

    Attributes:
        label: ``backends:NAME``.
        missing: Those requirements.
        remedy: What to run so that they are there.
        stand_in: Name of what serves in its place; empty where nothing does.
    """

    label: str
    missing: tuple[str, ...]
    remedy: str
    stand_in: str = ""

    def __str__(self) -> str:
        """Say what is missing, without the remedy."""
        needs = f"{self.label} needs {', '.join(self.missing)}"
        return f"{needs}; {self.stand_in} serves in its place" if self.stand_in else needs


@attrs.frozen(kw_only=True)
class PluginRegistry:
    """All plugins and all records, by kind and name."""

    plugins: tuple[PluginStatus, ...] = ()
    backends: Mapping[str, Registered[BackendSpec]] = attrs.field(factory=dict)
    model_sources: Mapping[str, Registered[ModelSourceSpec]] = attrs.field(factory=dict)
    routers: Mapping[str, Registered[RouterSpec]] = attrs.field(factory=dict)
    guards: Mapping[str, Registered[GuardSpec]] = attrs.field(factory=dict)
    validators: Mapping[str, Registered[ValidatorSpec]] = attrs.field(factory=dict)
    monitors: Mapping[str, Registered[MonitorSpec]] = attrs.field(factory=dict)
    routes: Mapping[str, Registered[RouteSpec]] = attrs.field(factory=dict)
    commands: Mapping[str, Registered[CommandSpec]] = attrs.field(factory=dict)

    def kinds(self) -> Mapping[str, Mapping[str, Registered[Any]]]:
        """Give all records by kind and name."""
        return {
            "backends": self.backends,
            "model_sources": self.model_sources,
            "routers": self.routers,
            "guards": self.guards,
            "validators": self.validators,
            "monitors": self.monitors,
            "routes": self.routes,
            "commands": self.commands,
        }

    def lacks(self, plugin: str) -> tuple[Lack, ...]:
        """List what of a plugin is not used."""
        return tuple(
            Lack(
                label=f"{kind}:{name}",
                missing=entry.missing,
                remedy=entry.remedy,
                stand_in=self.stand_in(entry.record),
            )
            for kind, of_kind in self.kinds().items()
            for name, entry in of_kind.items()
            if entry.plugin == plugin and entry.missing
        )

    def stand_in(self, record: Record) -> str:
        """Name a usable local backend that serves in the place of another local one; empty for others.

        It reads what that one reads, or some of it.
        """
        if not isinstance(record, BackendSpec) or record.kind is not BackendKind.LOCAL:
            return ""
        usable = (entry.record for entry in self.backends.values() if not entry.missing)
        local = (each for each in usable if each.kind is BackendKind.LOCAL and each.name != record.name)
        return next((each.name for each in local if each.reads & record.reads), "")

    def config_classes(self) -> dict[str, type]:
        """Map the tables of records to the attrs classes of their settings."""
        return {
            registered.record.table: registered.record.config
            for kind in self.kinds().values()
            for registered in kind.values()
            if registered.record.config is not None
        }


def chosen(
    kind: str, names: tuple[str, ...], known: Mapping[str, Registered[RecordT]]
) -> tuple[Registered[RecordT], ...]:
    """Pick records by the names that a setting lists, in its order.

    Raises:
        ConfigError: A name that no plugin offers.
        PluginError: A record whose requirements are not met.
    """
    picked = []
    for name in names:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none is installed"
            message = f"$.gateway.{kind}: no plugin offers {name!r}; known: {allowed}"
            raise ConfigError(message)
        if known[name].missing:
            message = f"{kind} {name!r} needs {', '.join(known[name].missing)}"
            raise PluginError(message, hint=f"Run: {known[name].remedy}")
        picked.append(known[name])
    return tuple(picked)
