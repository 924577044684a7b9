"""What backends say of themselves, each through the check that its record names."""

from collections.abc import Iterator

from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.config.settings import Settings
from homeport.domain.errors import HomeportError, PluginError
from homeport.plugin import records
from homeport.plugin.construction import Construction
from homeport.plugin.imports import import_object
from homeport.plugin.manager import describe
from homeport.plugin.records import BackendSpec
from homeport.plugin.registry import PluginRegistry, Registered


def backend_findings(settings: Settings, registry: PluginRegistry) -> Iterator[Finding]:
    """Call the check of every backend that could be used."""
    construction = Construction(settings, registry, {})
    for name, entry in registry.backends.items():
        if entry.missing or entry.record.check is None:
            continue
        label = f"backend {name}"
        try:
            found = _call(entry.record.check, entry, construction.config(entry.record))
        except HomeportError as error:
            yield failed(label, error.message, fix=error.hint or f"Correct [plugins.{name}] in the settings")
        else:
            yield from (_shown(label, finding) for finding in found)


def _call(
    check: str, entry: Registered[BackendSpec], arguments: tuple[object, ...]
) -> tuple[records.Finding, ...]:
    try:
        return tuple(_typed(found) for found in import_object(check)(*arguments))
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{check} of plugin {entry.plugin!r} ({entry.distribution}) failed: {describe(error)}",
            hint=f"Upgrade or remove {entry.distribution}, or block it: homeport -p no:{entry.plugin} ...",
        ) from error


def _typed(found: object) -> records.Finding:
    if not isinstance(found, records.Finding):
        raise PluginError(f"it returned {found!r}, not a Finding")
    return found


def _shown(label: str, finding: records.Finding) -> Finding:
    return ok(label, finding.message) if finding.ok else warning(label, finding.message, fix=finding.hint)
