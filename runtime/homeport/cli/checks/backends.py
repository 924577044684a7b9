"""What backends say of themselves, each through the check that its record names."""

from collections.abc import Iterator

import attrs

from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.config.settings import Settings
from homeport.domain.errors import HomeportError, PluginError
from homeport.plugin import records
from homeport.plugin.construction import Construction
from homeport.plugin.imports import import_object
from homeport.plugin.manager import describe
from homeport.plugin.records import BackendSpec
from homeport.plugin.registry import PluginRegistry, Registered


@attrs.frozen(kw_only=True)
class BackendReport:
    """What is known of a backend.

    Attributes:
        name: Of it.
        findings: What its check told; none where it has no check.
        is_usable: Whether it can serve, as far as it tells.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    is_usable: bool = True


def backend_reports(settings: Settings, registry: PluginRegistry) -> Iterator[BackendReport]:
    """Call the check of every backend whose requirements are met."""
    construction = Construction(settings, registry, {})
    for name, entry in registry.backends.items():
        if not entry.missing:
            yield _report(name, entry, construction)


def _report(name: str, entry: Registered[BackendSpec], construction: Construction) -> BackendReport:
    if entry.record.check is None:
        return BackendReport(name=name)
    label = f"backend {name}"
    try:
        found = _call(entry.record.check, entry, construction.config(entry.record))
    except HomeportError as error:
        fix = error.hint or f"Correct [plugins.{name}] in the settings"
        return BackendReport(name=name, findings=(failed(label, error.message, fix=fix),))
    return BackendReport(
        name=name,
        findings=tuple(_shown(label, finding) for finding in found),
        is_usable=all(finding.usable for finding in found),
    )


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
    if finding.ok:
        return ok(label, finding.message)
    return (warning if finding.usable else failed)(label, finding.message, fix=finding.hint)
