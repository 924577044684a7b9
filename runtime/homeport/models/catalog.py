"""All models that can be asked for, whoever serves them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import attrs
from loguru import logger

from homeport.domain.errors import ModelNotFoundError, NoBackendError
from homeport.domain.models import ModelInfo
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport.plugin.protocols import Backend, Candidate


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

    async def list(self) -> tuple[ModelInfo, ...]:
        """List every model under each of its names, as its preferred backend offers it, newest first."""
        found: dict[str, ModelInfo] = {}
        for candidate in await self._offers():
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
        offers = await self._offers()
        meanings = self._meanings(name)
        for wanted in meanings:
            found = tuple(offer for offer in offers if ModelName.parse(offer.model.name) == wanted)
            if found:
                return found
        if await asyncio.to_thread(lambda: any(map(self._is_installed, meanings))):
            raise NoBackendError(name)
        raise ModelNotFoundError(name, suggestions=self._alike(name, offers))

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

    async def _offers(self) -> Sequence[Candidate]:
        listed = await asyncio.gather(*(self._ask(name) for name in self._backends))
        return [
            Candidate(name, model)
            for name, models in zip(self._backends, listed, strict=True)
            for model in models
        ]

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
