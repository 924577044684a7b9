"""Models that lie on this machine in the place of another program, taken over when they are asked for."""

import asyncio
from collections.abc import Mapping, Sequence

from loguru import logger

from homeport.domain.errors import HomeportError, InvalidRequestError, LoadError
from homeport.domain.models import ModelInfo
from homeport.models.background import BackgroundTasks
from homeport.models.cooldown import Cooldown
from homeport.models.names import ModelName
from homeport.models.pull import Puller
from homeport.plugin.protocols import Shelf


class TakeoverError(LoadError):
    """A model that lies ready on a shelf and cannot be taken over; the hint is a command."""

    code = "takeover_failed"
    has_public_hint = True


class Shelves:
    """Lists what lies on shelves, and installs a model once for all who ask.

    Args:
        shelves: By the name of their source, in the order in which they win where names are equal.
        puller: Installs.
        tasks: Runs installations: one goes on when those who asked for it have left.
    """

    def __init__(self, shelves: Mapping[str, Shelf], puller: Puller, tasks: BackgroundTasks) -> None:
        self._shelves = shelves
        self._puller = puller
        self._tasks = tasks
        self._running: dict[ModelName, asyncio.Future[None]] = {}
        self._cooldown = Cooldown()
        self._failing: dict[str, str] = {}

    def listed(self) -> dict[ModelName, ModelInfo]:
        """List what lies there by name; blocks on files. A shelf that fails is logged and left out."""
        found: dict[ModelName, ModelInfo] = {}
        for source, shelf in self._shelves.items():
            for model in self._asked(source, shelf):
                try:
                    found.setdefault(ModelName.parse(model.name), model)
                except InvalidRequestError:
                    logger.debug("source {} has a model whose name is none: {!r:.80}", source, model.name)
        return found

    async def bring(self, name: ModelName) -> bool:
        """Install a model from a shelf; False where none has it.

        Raises:
            LoadError: It cannot be installed.
            CoolingError: It could not be, a short while ago.
        """
        model = (await asyncio.to_thread(self.listed)).get(name)
        if model is None:
            return False
        running = self._running.get(name)
        if running is None:
            self._cooldown.check(model.name, model.digest, now=asyncio.get_running_loop().time())
            running = self._running[name] = asyncio.get_running_loop().create_future()
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._tasks.start(self._install(name, model, running), name=f"taking over {model.name}")
        await asyncio.shield(running)
        return True

    async def _install(self, name: ModelName, model: ModelInfo, done: "asyncio.Future[None]") -> None:
        logger.info("taking {} over from {}", model.name, model.origin)
        loop = asyncio.get_running_loop()
        try:
            async for _ in self._puller.pull(model.name, source=model.origin):
                pass
        except HomeportError as error:
            self._cooldown.note_failure(model.digest, now=loop.time(), revision=0)
            message = f"{model.name} cannot be taken over from {model.origin}: {error.message}"
            done.set_exception(TakeoverError(message, hint=f"`homeport pull {model.name}` tells why"))
        else:
            self._cooldown.note_success(model.digest)
            done.set_result(None)
        finally:
            del self._running[name]
            if not done.done():
                done.set_exception(LoadError(f"taking {model.name} over was interrupted"))

    def _asked(self, source: str, shelf: Shelf) -> Sequence[ModelInfo]:
        """List one shelf's models; that it fails is told when it begins or changes: every request asks."""
        try:
            models = shelf.models()
        except Exception as error:  # noqa: BLE001 - a source is a plugin and may raise anything
            if self._failing.get(source) != repr(error):
                self._failing[source] = repr(error)
                logger.warning("source {} cannot list its models: {!r}", source, error)
            return ()
        self._failing.pop(source, None)
        return models
