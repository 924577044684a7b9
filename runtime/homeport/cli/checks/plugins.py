"""Plugins that failed or lack something, and what backends say of themselves."""

from collections.abc import Iterator, Sequence

from homeport.cli.checks.backends import BackendReport, backend_reports
from homeport.cli.checks.finding import Finding, State, failed, ok, warning
from homeport.config.settings import Settings
from homeport.domain.errors import PluginError
from homeport.domain.extras import MODELS_REMEDY
from homeport.plugin.manager import load_plugins
from homeport.plugin.registry import PluginRegistry, PluginState, PluginStatus

_UNBLOCK = (
    "Unblock one that has a backend ({}): -p no:NAME, HOMEPORT_DISABLED_PLUGINS, or the settings of [plugins]"
)


def plugin_findings(settings: Settings) -> Iterator[Finding]:
    """Look at every plugin."""
    try:
        registry = load_plugins(settings)
    except PluginError as error:
        yield failed("plugins", error.message, fix=error.hint or "Run: homeport plugins")
        return
    found = [each for status in registry.plugins for each in _findings(status, registry)]
    yield from found
    if all(finding.state is State.OK for finding in found):
        yield ok("plugins", ", ".join(_described(status) for status in registry.plugins) or "none installed")
    reports = tuple(backend_reports(settings, registry))
    blocked = [status.name for status in registry.plugins if status.state is PluginState.BLOCKED]
    yield _backends(reports, blocked)
    for report in reports:
        yield from report.findings


def _backends(reports: Sequence[BackendReport], blocked: Sequence[str]) -> Finding:
    """Say which can be used; a blocked plugin is not asked whether it has one."""
    usable = [report.name for report in reports if report.is_usable]
    if usable:
        return ok("backends", ", ".join(usable))
    fix = (
        f"{_UNBLOCK.format(', '.join(blocked))}; or install one: {MODELS_REMEDY}"
        if blocked
        else MODELS_REMEDY
    )
    broken = [report.name for report in reports if any(each.fix for each in report.findings)]
    if broken:
        fix = f"See what is said of backend {' and '.join(broken)}"
    return failed("backends", "none is usable, so no model can run", fix=fix)


def _findings(status: PluginStatus, registry: PluginRegistry) -> Iterator[Finding]:
    if status.state is PluginState.FAILED:
        yield failed(
            f"plugin {status.name}",
            f"{status.distribution} {status.version}: {status.cause}",
            fix=f"Upgrade or remove {status.distribution}, or block it: homeport -p no:{status.name} ...",
        )
    for lack in registry.lacks(status.name):
        if lack.stand_in:
            yield ok(f"plugin {status.name}", f"{status.state.value}: {lack}")
        else:
            yield warning(f"plugin {status.name}", f"{status.state.value}: {lack}", fix=lack.remedy)


def _described(status: PluginStatus) -> str:
    return status.name if status.state is PluginState.ACTIVE else f"{status.name} ({status.state.value})"
