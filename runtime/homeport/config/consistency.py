"""What is wrong or odd about settings that are each right by itself."""

import math
from collections.abc import Iterator, Mapping

import attrs

from homeport.config.gateway_settings import Chain, GatewaySettings, RouteSettings
from homeport.config.key_path import KeyPath, dotted
from homeport.config.model_settings import ModelSettings
from homeport.config.settings import Settings


@attrs.frozen(kw_only=True)
class Objection:
    """Something about settings.

    Attributes:
        path: Where it is best mended.
        message: What is the matter.
        is_fault: Whether they cannot be used so; else they can, but hardly do what was meant.
    """

    path: KeyPath
    message: str
    is_fault: bool = True

    def told(self, origins: Mapping[str, str]) -> str:
        """Write it with path and place, as the faults of single values are."""
        place = origins.get(dotted(self.path), "")
        return f"$.{dotted(self.path)}: {self.message}" + (f" ({place})" if place else "")


def objections(settings: Settings) -> Iterator[Objection]:
    """Compare settings with each other."""
    yield from _of_gateway(settings.gateway)
    yield from _of_models(settings.models)
    for name, models in settings.tiers.items():
        yield from _of_tier(name, models, settings)
    for name, route in settings.routes.items():
        yield from _of_route(name, route, settings)


def _of_gateway(gateway: GatewaySettings) -> Iterator[Objection]:
    breaker, times, retry = gateway.breaker, gateway.timeouts, gateway.retry
    if breaker.least_calls > breaker.calls:
        yield Objection(
            path=("gateway", "breaker", "least_calls"),
            message=f"must be at most gateway.breaker.calls, {breaker.calls}, or no share of failures would "
            f"ever count; got {breaker.least_calls}",
        )
    for stage in ("queue", "first_token", "stall"):
        seconds = getattr(times, f"{stage}_seconds")
        if seconds > times.total_seconds:
            yield Objection(
                path=("gateway", "timeouts", f"{stage}_seconds"),
                message=f"{seconds:g} s are never reached: gateway.timeouts.total_seconds is "
                f"{times.total_seconds:g}",
                is_fault=False,
            )
    for section, least, most in (
        (retry, "first_delay_seconds", "most_delay_seconds"),
        (breaker, "open_seconds", "most_open_seconds"),
    ):
        name = "retry" if section is retry else "breaker"
        if getattr(section, least) > getattr(section, most):
            yield Objection(
                path=("gateway", name, most),
                message=f"must be at least gateway.{name}.{least}, {getattr(section, least):g}; "
                f"got {getattr(section, most):g}",
            )
    for chain in Chain:
        yield from _repeated(("gateway", chain), getattr(gateway, chain))


def _of_models(models: ModelSettings) -> Iterator[Objection]:
    pinned, held = set(models.pin), {*models.pin, *models.preload}
    if models.most_loaded and len(pinned) > models.most_loaded:
        yield Objection(
            path=("models", "pin"),
            message=f"names {len(pinned)} models, but models.most_loaded allows {models.most_loaded}",
        )
    elif models.most_loaded and len(held) > models.most_loaded:
        yield Objection(
            path=("models", "preload"),
            message=f"{len(held)} models are to be loaded at the start, but models.most_loaded allows "
            f"{models.most_loaded} in memory: some leave at once",
            is_fault=False,
        )


def _of_tier(name: str, models: tuple[str, ...], settings: Settings) -> Iterator[Objection]:
    path = ("tiers", name)
    if not models:
        yield Objection(path=path, message="names no model; leave it out to choose by size", is_fault=False)
    yield from _repeated(path, models)
    for place, model in enumerate(models):
        if model.lower() == name.lower():
            yield Objection(path=(*path, place), message=f"the tier names itself, {model!r}; it takes models")
        elif model in settings.tiers or model in settings.routes:
            kind = "tier" if model in settings.tiers else "route"
            yield Objection(
                path=(*path, place),
                message=f"{model!r} is a {kind}; here it stands for an installed model of that name",
                is_fault=False,
            )


def _of_route(name: str, route: RouteSettings, settings: Settings) -> Iterator[Objection]:
    path = ("routes", name)
    yield from _of_weights((*path, "weights"), route)
    yield from _repeated((*path, "models"), route.models)
    for chain in Chain:
        yield from _repeated((*path, chain), getattr(route, chain))
        for place, model in enumerate(getattr(route, chain)):
            if model == name:
                yield Objection(
                    path=(*path, chain, place), message=f"the route falls back to itself, {model!r}"
                )
    for place, model in enumerate(route.models):
        if model in settings.routes and model != name:
            yield Objection(
                path=(*path, "models", place),
                message=f"{model!r} is a route; here it stands for a model or a tier of that name",
                is_fault=False,
            )
    for trial in ("canary", "shadow"):
        if getattr(route, trial) == name:
            yield Objection(path=(*path, trial), message=f"{name!r} is the route itself")


def _of_weights(path: KeyPath, route: RouteSettings) -> Iterator[Objection]:
    weights = route.weights
    if weights and len(weights) != len(route.models):
        yield Objection(
            path=path,
            message=f"expected {len(route.models)} numbers, one for each of models, got {len(weights)}",
        )
    elif weights and (not all(0 <= weight < math.inf for weight in weights) or not sum(weights)):
        yield Objection(path=path, message=f"expected numbers from 0 on, not all 0, got {list(weights)}")


def _repeated(path: KeyPath, names: tuple[str, ...]) -> Iterator[Objection]:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name not in seen:
            seen.add(name)
        else:
            yield Objection(path=(*path, place), message=f"{name!r} is named twice", is_fault=False)
