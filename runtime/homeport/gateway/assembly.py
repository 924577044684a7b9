"""Builds the gateway from settings and plugins, and its policy anew when the settings change."""

import random
from collections.abc import Callable, Mapping

import attrs

from homeport.config.settings import Settings
from homeport.gateway.admission.admission import Admission
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.attempts.pace import Pace
from homeport.gateway.attempts.retry import RetryBudget
from homeport.gateway.attempts.trial import Machinery
from homeport.gateway.events import EventBus
from homeport.gateway.pipeline import Gateway
from homeport.gateway.policy import GatewayPolicy
from homeport.gateway.routing.affinity import Affinity
from homeport.gateway.routing.eligibility import Residence
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.routing.standings import Standings
from homeport.gateway.validation import Validation
from homeport.models.background import BackgroundTasks
from homeport.models.catalog import Catalog
from homeport.models.local import LocalBackend
from homeport.plugin.construction import Construction
from homeport.plugin.protocols import Backend, Candidate


@attrs.frozen(kw_only=True)
class GatewayAssembly:
    """The parts that outlive a change of the settings.

    Attributes:
        catalog: Knows which backend offers which model.
        backends: By name.
        local: Those among them that hold models in memory.
        standings: What is remembered of each target.
        bus: Told of everything.
        tasks: Run what goes on beside requests.
        is_strained: Tells whether memory is too short for new work.
        chance: Draws seeds and delays.
    """

    catalog: Catalog
    backends: Mapping[str, Backend]
    local: Mapping[str, LocalBackend]
    standings: Standings
    bus: EventBus
    tasks: BackgroundTasks
    is_strained: Callable[[], bool]
    chance: random.Random
    _affinity: Affinity = attrs.field(factory=Affinity)

    def gateway(self, settings: Settings, construction: Construction) -> Gateway:
        """Build the gateway.

        Raises:
            ConfigError: A setting names what does not exist.
            PluginError: What the settings ask for cannot be built.
        """
        admission = Admission(settings.gateway, self.chance)
        breakers = Breakers(settings.gateway.breaker, self.bus.emit, self.chance)
        machinery = Machinery(
            backends=self.backends,
            watched=frozenset(self.local),
            admission=admission,
            breakers=breakers,
            standings=self.standings,
            pace=Pace(),
            bus=self.bus,
        )
        return Gateway(
            local=self.local,
            machinery=machinery,
            policy=self.policy(settings, construction, admission, breakers),
            retry_budget=RetryBudget(settings.gateway.retry),
            tasks=self.tasks,
            is_strained=self.is_strained,
            chance=self.chance,
        )

    def policy(
        self, settings: Settings, construction: Construction, admission: Admission, breakers: Breakers
    ) -> GatewayPolicy:
        """Build the rules that settings ask for.

        Raises:
            ConfigError: A setting names what does not exist.
            PluginError: What the settings ask for cannot be built.
        """
        chosen = settings.gateway
        guards = tuple(guard for _, guard in construction.every("guards"))
        planner = RoutePlanner(
            catalog=self.catalog,
            routers=construction.chosen("routers", chosen.routers),
            guards=guards,
            settings=settings,
            standings=self.standings,
            refusal=breakers.refusal,
            load_of=admission.load_of,
            residency=self._residence,
            chance=self.chance,
            affinity=self._affinity,
        )
        validation = Validation(construction.chosen("validators", chosen.validators))
        return GatewayPolicy(settings=chosen, planner=planner, guards=guards, validation=validation)

    def _residence(self, candidate: Candidate) -> Residence:
        backend = self.local.get(candidate.backend)
        if backend is None:
            return Residence()
        name = candidate.model.name
        return Residence(is_resident=backend.is_resident(name), objection=backend.would_fit(name))
