"""Settings that name what plugins offer, checked against what is there."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from homeport.config.settings import PluginSettings, Settings
from homeport.plugin.registry import PluginRegistry


def choice_faults(settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> Iterator[str]:
    """List names that no plugin offers, or whose requirements are not met, one line each.

    Args:
        settings: As loaded.
        registry: What there is.
        origins: Place of each value by its dotted path.
    """
    backend = settings.models.backend
    wanted: list[tuple[str, str]] = [] if backend is None else [("models.backend", backend)]
    for kind in ("routers", "validators"):
        wanted += [(f"gateway.{kind}", name) for name in getattr(settings.gateway, kind)]
    for path, name in wanted:
        known = getattr(registry, "backends" if path == "models.backend" else path.removeprefix("gateway."))
        place = f" ({origins[path]})" if path in origins else ""
        if name not in known:
            usable = [each for each, entry in known.items() if not entry.missing]
            yield f"$.{path}: no plugin offers {name!r}; {_nearest(name, usable)}{place}"
        elif known[name].missing:
            needed = ", ".join(known[name].missing)
            yield f"$.{path}: {name!r} needs {needed}; run: {known[name].remedy}{place}"


def unknown_plugins(settings: PluginSettings, installed: Collection[str]) -> Iterator[str]:
    """List plugins that are blocked or allowed and not installed, a sentence each."""
    for name in dict.fromkeys((*settings.disabled, *settings.enabled)):
        if name not in installed:
            yield (
                f"no plugin {name!r} is installed, so nothing is blocked or allowed; "
                f"{_nearest(name, installed)}"
            )


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
