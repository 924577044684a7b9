"""Models that are loaded when the host starts."""

from collections.abc import Iterable, Mapping

from loguru import logger

from homeport.domain.errors import HomeportError
from homeport.models.catalog import Catalog
from homeport.models.local import LocalBackend


class Preload:
    """Loads models one after the other; one that fails is logged and holds up nobody.

    Attributes:
        is_done: Whether all were loaded or failed.

    Args:
        catalog: Knows who serves a name.
        local: Local backends by name.
        pinned: Names of models that stay.
        others: Names of models that leave as they would after a request.
    """

    def __init__(
        self,
        catalog: Catalog,
        local: Mapping[str, LocalBackend],
        *,
        pinned: Iterable[str],
        others: Iterable[str],
    ) -> None:
        self._catalog = catalog
        self._local = local
        self._pinned = dict.fromkeys(pinned)
        self._others = [name for name in dict.fromkeys(others) if name not in self._pinned]
        self.is_done = not (self._pinned or self._others)

    async def run(self) -> None:
        """Load them all."""
        try:
            for name in self._pinned:
                await self._load(name, stays=True)
            for name in self._others:
                await self._load(name, stays=False)
        finally:
            self.is_done = True

    async def _load(self, name: str, *, stays: bool) -> None:
        try:
            backend, model = await self._find(name)
            if stays:
                await backend.pin(model)
            else:
                await backend.load(model, None)
        except HomeportError as error:
            logger.error("{} could not be loaded at the start: {}", name, error)

    async def _find(self, name: str) -> tuple[LocalBackend, str]:
        for candidate in await self._catalog.candidates(name):
            backend = self._local.get(candidate.backend)
            if backend is not None:
                return backend, candidate.model.name
        raise HomeportError(
            f"no local backend offers {name!r}", hint="See what is installed with: homeport list"
        )
