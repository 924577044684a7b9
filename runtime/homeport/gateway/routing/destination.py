"""What a name stands for: a model, a tier, a configured route, or a free choice."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from homeport.config.gateway_settings import RouteSettings
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError, InvalidRequestError, Refusal
from homeport.domain.models import Capability, ModelInfo
from homeport.gateway.routing.eligibility import key_of
from homeport.gateway.routing.faults import route_faults
from homeport.gateway.routing.tiers import AUTO, INHERIT, Groups, Tier, tier_groups, tier_of, word_of
from homeport.models.catalog import Catalog
from homeport.plugin.protocols import Candidate

if TYPE_CHECKING:
    from homeport.gateway.target import TargetKey

NO_BACKEND = "no backend"
"""Stands in a refusal for the backend of a model that nobody offers."""
_NOT_HERE = "is not installed, and no backend offers it"


@attrs.frozen(kw_only=True)
class Destination:
    """Who a name stands for.

    Attributes:
        groups: Candidates in the order in which they are considered; a group only where none before it
            can serve.
        is_model: Whether the name is that of one model.
        tier: The tier it is; empty where it is none.
        route: The configured route it is; empty where there is none.
        settings: Of that route.
        missing: Models that were named and that nobody offers.
    """

    groups: Groups
    is_model: bool = False
    tier: str = ""
    route: str = ""
    settings: RouteSettings = RouteSettings()
    missing: tuple[Refusal, ...] = ()

    def describe(self, wanted: Capability) -> ModelInfo | None:
        """Describe it as a model; None where it holds none.

        Where there is a choice, it is the first that offers what is wanted, with only those sampling
        defaults that all share: what one of them was published with may be wrong for another.
        """
        models = [each.model for group in self.groups for each in group]
        able = [model for model in models if wanted in model.capabilities] or models
        if not able:
            return None
        return able[0] if self.is_model else attrs.evolve(able[0], parameters=_shared_parameters(able))


class Destinations:
    """Reads names.

    A configured route comes first, then a model of that name, then a tier, then ``auto``.

    Args:
        catalog: Knows the models.
        settings: Name the routes and the tiers.

    Raises:
        ConfigError: A route has not as many weights as models, a name cannot be one, or two are the same.
    """

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._tiers = {name.lower(): models for name, models in settings.tiers.items() if models}
        self._routes: dict[str, tuple[str, RouteSettings]] = {}
        self._default = settings.gateway.default_model
        faults = [fault.told({}) for fault in route_faults(settings)]
        for name, route in settings.routes.items():
            other, _ = self._routes.setdefault(self._comparable(name), (name, route))
            if other != name:
                faults.append(f"$.routes: {other!r} and {name!r} are names of one model; keep one of them")
        if faults:
            raise ConfigError("\n".join(faults))

    def find(self, name: str, offers: Sequence[Candidate], wanted: Capability) -> Destination | None:
        """Find out what a name stands for; None where nobody offers it.

        Args:
            name: As a client sent it.
            offers: All models with their backends.
            wanted: What they must offer, where the name leaves a choice.

        Raises:
            InvalidRequestError: It is no name at all.
        """
        entry = self._routes.get(self._comparable(name))
        if entry is None:
            return self._plain(name, offers, wanted)
        route, settings = entry
        if settings.models:
            return attrs.evolve(self._members(settings, offers, wanted), route=route, settings=settings)
        found = self._plain(name, offers, wanted)
        return None if found is None else attrs.evolve(found, route=route, settings=settings)

    def names(self) -> tuple[str, ...]:
        """List the words that stand for tiers, and the configured routes."""
        routes = (name for name, _ in self._routes.values())
        return tuple(dict.fromkeys((*Tier, *self._tiers, INHERIT, AUTO, *routes)))

    def _plain(self, name: str, offers: Sequence[Candidate], wanted: Capability) -> Destination | None:
        """Read a name that is no route."""
        found = self._catalog.among(offers, name)
        if found:
            return Destination(groups=(found,), is_model=True)
        word = word_of(name)
        if word == INHERIT:
            return self._inherited(offers, wanted)
        if word == AUTO:
            able = tuple(each for each in _installed(offers) if wanted in each.model.capabilities)
            return Destination(groups=(able,))
        tier = None if word in self._tiers else tier_of(word)
        key = word if tier is None else tier.value
        if key in self._tiers:
            return attrs.evolve(self._configured_tier(key, offers), tier=key)
        if tier is None:
            return None
        groups = tier_groups(tier, _installed(offers), wanted)
        return Destination(groups=_in_tier(groups, key), tier=key)

    def _inherited(self, offers: Sequence[Candidate], wanted: Capability) -> Destination | None:
        default = Tier.BALANCED.value if word_of(self._default) == INHERIT else self._default
        return self.find(default, offers, wanted)

    def _configured_tier(self, tier: str, offers: Sequence[Candidate]) -> Destination:
        found: list[Candidate] = []
        missing: list[Refusal] = []
        for model in self._tiers[tier]:
            members = self._catalog.among(offers, model)
            found.extend(members)
            if not members:
                missing.append(Refusal(NO_BACKEND, model, _NOT_HERE))
        return Destination(groups=_in_tier((_distinct(found),), tier), missing=tuple(missing))

    def _members(self, route: RouteSettings, offers: Sequence[Candidate], wanted: Capability) -> Destination:
        weights = route.weights or (1.0,) * len(route.models)
        found: list[Candidate] = []
        missing: list[Refusal] = []
        is_model = False
        for model, weight in zip(route.models, weights, strict=True):
            member = self._plain(model, offers, wanted)
            candidates = [] if member is None else [each for group in member.groups[:1] for each in group]
            if not candidates:
                missing.append(Refusal(NO_BACKEND, model, _NOT_HERE))
            weighted = _weighted(candidates, weight / max(len(candidates), 1))
            found.extend(weighted if route.weights else candidates)
            is_model = member is not None and member.is_model and len(route.models) == 1
        return Destination(groups=(_distinct(found),), is_model=is_model, missing=tuple(missing))

    def _comparable(self, name: str) -> str:
        """Spell a name so that all names of one model compare equal."""
        try:
            return self._catalog.canonical(name).full.lower()
        except InvalidRequestError:
            return name.strip().lower()


def _shared_parameters(models: Sequence[ModelInfo]) -> dict[str, object]:
    first, *others = [model.parameters for model in models]
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def _installed(offers: Sequence[Candidate]) -> Sequence[Candidate]:
    """Leave out what would have to be taken over first, which takes minutes and is done for who names it."""
    return [offer for offer in offers if not offer.model.origin] or offers


def _in_tier(groups: Groups, tier: str) -> Groups:
    return tuple(
        tuple(attrs.evolve(each, standing=attrs.evolve(each.standing, tier=tier)) for each in group)
        for group in groups
    )


def _weighted(candidates: Sequence[Candidate], weight: float) -> list[Candidate]:
    return [attrs.evolve(each, standing=attrs.evolve(each.standing, weight=weight)) for each in candidates]


def _distinct(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Keep the first of each target."""
    found: dict[TargetKey, Candidate] = {}
    for each in candidates:
        found.setdefault(key_of(each), each)
    return tuple(found.values())
