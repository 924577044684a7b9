"""All models that can be asked for, whoever serves them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import attrs
from loguru import logger

from homeport.domain.errors import HomeportError, ModelNotFoundError, NoBackendError
from homeport.domain.models import ModelInfo
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport.plugin.protocols import Backend, Candidate

_REMEMBERED_NAMES = 4096
"""Offered names that are not parsed again."""


class Catalog:
    """Asks every backend what it offers.

    Args:
        backends: By name, in the order in which they are preferred.
        aliases: Further names of models.
        is_installed: Whether the store has a model, which a backend is then missing for.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        aliases: AliasTable,
        is_installed: Callable[[ModelName], bool] = lambda _: False,
    ) -> None:
        self._backends = backends
        self._aliases = aliases
        self._is_installed = is_installed
        self._failing: dict[str, str] = {}
        self._spelt: dict[str, str] = {}

    async def list(self) -> tuple[ModelInfo, ...]:
        """List every model that is there, under each of its names, by its preferred backend, newest first."""
        found: dict[str, ModelInfo] = {}
        for candidate in await self.offers():
            if not candidate.model.is_away:
                found.setdefault(candidate.model.name.lower(), candidate.model)
        for model in tuple(found.values()):
            for name in self._other_names(model):
                found.setdefault(name.lower(), attrs.evolve(model, name=name, alias_of=model.name))
        return tuple(sorted(found.values(), key=lambda model: model.modified_at, reverse=True))

    async def candidates(self, name: str) -> tuple[Candidate, ...]:
        """List who could serve a model, preferred backends first.

        Args:
            name: As a client sent it; aliases are known.

        Raises:
            ModelNotFoundError: Nobody; with names that are spelt alike.
            NoBackendError: Nobody, although it is installed.
            InvalidRequestError: It is no model name.
        """
        offers = await self.offers()
        found = self.among(offers, name)
        if not found:
            raise await self.absence(offers, name)
        return found

    async def offers(self) -> Sequence[Candidate]:
        """List every model with every backend that offers it, preferred backends first."""
        listed = await asyncio.gather(*(self._ask(name) for name in self._backends))
        return [
            Candidate(name, model)
            for name, models in zip(self._backends, listed, strict=True)
            for model in models
        ]

    def among(self, offers: Sequence[Candidate], name: str) -> tuple[Candidate, ...]:
        """Pick who could serve a model, in the order of the offers; none where nobody could.

        Raises:
            InvalidRequestError: It is no model name.
        """
        meanings = self._meanings(name)
        for wanted in (meaning.full.lower() for meaning in meanings):
            found = tuple(offer for offer in offers if self._comparable(offer.model.name) == wanted)
            if found:
                return found
        return ()

    async def absence(self, offers: Sequence[Candidate], name: str) -> HomeportError:
        """Explain that nobody serves a model: it is unknown, or installed and no backend can run it."""
        meanings = self._meanings(name)
        if await asyncio.to_thread(lambda: any(map(self._is_installed, meanings))):
            return NoBackendError(name)
        return ModelNotFoundError(name, suggestions=self._alike(name, offers))

    def canonical(self, name: str) -> ModelName:
        """Give the one name by which all names of a model are known.

        Raises:
            InvalidRequestError: It is no model name.
        """
        return self._aliases.canonical(ModelName.parse(name))

    async def get(self, name: str) -> ModelInfo:
        """Describe a model as its preferred backend offers it.

        Raises:
            ModelNotFoundError: Nobody offers it.
            InvalidRequestError: It is no model name.
        """
        return (await self.candidates(name))[0].model

    def _meanings(self, name: str) -> Sequence[ModelName]:
        """Give the name itself, then the other names of the same model."""
        wanted = ModelName.parse(name)
        alias = self._aliases.find(wanted)
        return (wanted,) if alias is None else (wanted, *alias.names, *alias.hub_names)

    def _other_names(self, model: ModelInfo) -> Sequence[str]:
        alias = self._aliases.find(ModelName.parse(model.name))
        return () if alias is None else [name.display for name in (*alias.names, alias.hub_names[0])]

    def _alike(self, name: str, offers: Sequence[Candidate]) -> Sequence[str]:
        return self._aliases.nearest(name, [offer.model.name for offer in offers])

    def _comparable(self, name: str) -> str:
        """Spell an offered name in full, once: parsing takes 2 us, and every request looks at every offer."""
        spelt = self._spelt.get(name)
        if spelt is None:
            if len(self._spelt) >= _REMEMBERED_NAMES:
                self._spelt.clear()
            spelt = self._spelt[name] = ModelName.parse(name).full.lower()
        return spelt

    async def _ask(self, name: str) -> Sequence[ModelInfo]:
        """List one backend's models; one that fails offers nothing now and hides nobody else's."""
        try:
            models = await self._backends[name].models()
        except Exception as error:  # noqa: BLE001 - a backend is a plugin and may raise anything
            self._tell(name, repr(error))
            return ()
        self._failing.pop(name, None)
        return models

    def _tell(self, name: str, reason: str) -> None:
        """Log a failure when it begins or changes: lists are asked for with every request."""
        if self._failing.get(name) != reason:
            self._failing[name] = reason
            logger.warning("backend {} cannot list its models: {}", name, reason)
