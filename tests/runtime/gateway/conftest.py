"""A planner on a real catalogue, with backends that list what a test says."""

import hashlib
import random
from datetime import UTC, datetime

import attrs
import pytest

from homeport import Capability, ChatPrompt, GenerationRequest, Message, ModelInfo, Role, Settings, Terms
from homeport.gateway.admission.line import TargetLoad
from homeport.gateway.routing.eligibility import Residence
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.routing.standings import Standings
from homeport.models.aliases import AliasTable
from homeport.models.catalog import Catalog

IDLE = TargetLoad(in_flight=0, waiting=0, limit=1)
BILLION = 1_000_000_000


class Shelf:
    """A backend that only lists."""

    def __init__(self, models):
        self.listed = tuple(models)

    async def models(self):
        return self.listed


class Planning:
    """Builds what tests of routing need."""

    def model(self, name, *, billions=0.0, backend="here", **facts):
        """Describe a model of so many billion parameters."""
        return ModelInfo(
            name=name,
            digest=hashlib.sha256(name.encode()).hexdigest(),
            backend=backend,
            modified_at=datetime(2026, 1, 1, tzinfo=UTC),
            parameter_count=round(billions * BILLION),
            **facts,
        )

    def encoder(self, name, **facts):
        """Describe a model that only embeds."""
        return self.model(name, capabilities=frozenset({Capability.EMBEDDING}), **facts)

    def planner(self, *models, settings=None, seed=1, **parts):
        """Build a planner; models are offered by the backends that they name."""
        backends = {}
        for each in models:
            backends.setdefault(each.backend, []).append(each)
        catalog = Catalog({name: Shelf(listed) for name, listed in backends.items()}, AliasTable.load())
        defaults = {
            "routers": (),
            "guards": (),
            "standings": Standings(),
            "refusal": lambda key, group: "",
            "load_of": lambda key: IDLE,
            "residency": lambda candidate: Residence(),
        }
        return RoutePlanner(
            catalog=catalog,
            settings=settings or Settings(),
            chance=random.Random(seed),
            **{**defaults, **parts},
        )

    def ask(self, model, text="hello", *, max_tokens=None, system=None, **options):
        """Build a request; what is no field of it is one of its terms."""
        fields = {field.name for field in GenerationRequest.__attrs_attrs__}
        own = {key: value for key, value in options.items() if key in fields}
        terms = {key: value for key, value in options.items() if key not in fields}
        spoken = [Message(Role.USER, text)]
        if system:
            spoken.insert(0, Message(Role.SYSTEM, system))
        request = GenerationRequest(
            id="r", model=model, prompt=ChatPrompt(tuple(spoken)), terms=Terms(**terms), **own
        )
        sampling = attrs.evolve(request.sampling, max_tokens=max_tokens)
        return attrs.evolve(request, sampling=sampling)

    def names(self, candidates):
        """Name candidates, without the tag that says nothing."""
        return [each.model.name.removesuffix(":latest") for each in candidates]


@pytest.fixture
def planning():
    return Planning()
