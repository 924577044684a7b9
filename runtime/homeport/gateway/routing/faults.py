"""What is wrong with tiers, routes and chains of fallbacks, before anybody asks for them."""

from collections.abc import Iterator

from homeport.config.consistency import Objection, objections
from homeport.config.gateway_settings import Chain
from homeport.config.key_path import KeyPath
from homeport.config.settings import Settings
from homeport.domain.errors import InvalidRequestError
from homeport.gateway.routing.tiers import AUTO, INHERIT, word_of
from homeport.models.names import ModelName


def route_faults(settings: Settings) -> Iterator[Objection]:
    """List weights that do not match their models, and names that no model can have."""
    yield from (
        each for each in objections(settings) if each.is_fault and each.path[0] in ("tiers", "routes")
    )
    for route, fields in settings.routes.items():
        for place, name in enumerate(fields.models):
            if word_of(name) == INHERIT:
                yield Objection(
                    path=("routes", route, "models", place),
                    message=f"{name!r} may stand for a route, and a route takes only models and tiers",
                )
    yield from _ambiguous(settings)
    for path, name in _names(settings):
        try:
            ModelName.parse(name)
        except InvalidRequestError:
            yield Objection(path=path, message=f"{name!r} can be the name of no model, tier or route")


def _ambiguous(settings: Settings) -> Iterator[Objection]:
    """List names of tiers and routes that are never looked at, because another one comes first."""
    for kind, names in (("tiers", settings.tiers), ("routes", settings.routes)):
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(word_of(name), name)
            if other != name:
                yield Objection(path=(kind, name), message=f"{other!r} is the same name; keep one of them")
    for tier in settings.tiers:
        if word_of(tier) in (AUTO, INHERIT):
            yield Objection(
                path=("tiers", tier), message=f"{tier!r} is a word of its own; name the models in a route"
            )


def _names(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Give every name that is looked up for a request, and where it stands."""
    yield ("gateway", "default_model"), settings.gateway.default_model
    for chain in Chain:
        yield from _placed(("gateway", chain), getattr(settings.gateway, chain))
    for tier, models in settings.tiers.items():
        yield ("tiers", tier), tier
        yield from _placed(("tiers", tier), models)
    for name, route in settings.routes.items():
        for field in ("models", *Chain):
            yield from _placed(("routes", name, field), getattr(route, field))
        for field in ("canary", "shadow"):
            trial = getattr(route, field)
            if trial is not None:
                yield ("routes", name, field), trial


def _placed(path: KeyPath, names: tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    for place, name in enumerate(names):
        yield (*path, place), name
