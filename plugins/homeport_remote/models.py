"""The models that another server has, and what they are called there."""

import hashlib
from collections.abc import Iterator, Sequence

import attrs

from homeport import BackendError, Capability, ModelInfo
from homeport.upstream import HOPS_FACT, MOST_HOPS, ConnectionPool, NoSuchPathError, read_moment, tagged
from homeport_remote.config import Kind, UpstreamConfig
from homeport_remote.keys import KeySource
from homeport_remote.wire import ListedModel, ModelList, Replica, ReplicaModel

_MOST_MODELS = 2000
_MOST_LIST_BYTES = 8 * 1024**2
_EMBEDDING_WORD = "embed"


class Models:
    """Asks another server what it has.

    Args:
        pool: Connections to it.
        keys: Its key.
        config: What it is, and which of its models are wanted.
        backend: Name of the backend.
        is_remote: Whether it is on another machine.
    """

    def __init__(
        self, pool: ConnectionPool, keys: KeySource, config: UpstreamConfig, *, backend: str, is_remote: bool
    ) -> None:
        self.replica: Replica | None = None
        self._pool = pool
        self._keys = keys
        self._config = config
        self._backend = backend
        self._is_remote = is_remote
        self._wanted = {tagged(here): there for here, there in config.models.items()}
        self._targets: dict[str, str] = {}

    def expected(self) -> Sequence[ModelInfo]:
        """List the models that the settings name, as long as the server was not seen."""
        return tuple(self._absent(name, there) for name, there in self._wanted.items())

    def target(self, name: str) -> str | None:
        """Give what a model is called there; None for one that is not offered."""
        return self._targets.get(name.lower())

    async def look(self) -> Sequence[ModelInfo]:
        """List the models.

        Raises:
            HomeportError: The server is away, does not let us in, or talks nonsense.
        """
        listed = await self._look()
        self._targets = {info.name.lower(): there for info, there in listed}
        return tuple(info for info, _ in listed)

    async def _look(self) -> Sequence[tuple[ModelInfo, str]]:
        headers = await self._keys.headers()
        if self._config.kind == Kind.HOMEPORT:
            async with self._pool.send("GET", "replica", headers=headers) as reply:
                self.replica = await reply.body(Replica, most_bytes=_MOST_LIST_BYTES)
            if self.replica.draining:
                raise BackendError(f"backend {self._backend!r} is stopping")
            return tuple(self._of_replica(self.replica))
        try:
            async with self._pool.send("GET", "models", headers=headers) as reply:
                listed = (await reply.body(ModelList, most_bytes=_MOST_LIST_BYTES)).data
        except NoSuchPathError:
            if not self._wanted:
                raise
            listed = []  # it lists nothing, and answers all the same
        return tuple(self._of_list(listed))

    def _of_list(self, listed: Sequence[ListedModel]) -> Iterator[tuple[ModelInfo, str]]:
        created = {model.id: model.created for model in listed[:_MOST_MODELS]}
        wanted = self._wanted or {tagged(name): name for name in created}
        for name, there in wanted.items():
            if created and there not in created:
                continue
            yield self._listed(name, there, created.get(there)), there

    def _listed(self, name: str, there: str, created: float | None = None) -> ModelInfo:
        return ModelInfo(
            name=name,
            digest=hashlib.sha256(f"{self._pool.address} {there}".encode()).hexdigest(),
            backend=self._backend,
            modified_at=read_moment(created),
            capabilities=self._abilities(there),
            is_remote=self._is_remote,
            slots=self._config.slots,
        )

    def _of_replica(self, replica: Replica) -> Iterator[tuple[ModelInfo, str]]:
        """Give its own models; those that it has from elsewhere only where they are named.

        Each homeport that passes a model on counts itself, so that one which nobody runs any more does not
        live on between two that list each other.
        """
        near = [model for model in replica.models[:_MOST_MODELS] if 0 <= model.hops < MOST_HOPS]
        found = {model.name.lower(): model for model in near}
        own = {model.name: model.name for model in near if not model.hops and not model.is_remote}
        wanted = self._wanted or own
        for name, there in wanted.items():
            model = found.get(tagged(there).lower())
            if model is not None:
                yield self._described(name, model), model.name

    def _absent(self, name: str, there: str) -> ModelInfo:
        return attrs.evolve(self._listed(name, there), is_away=True)

    def _described(self, name: str, model: ReplicaModel) -> ModelInfo:
        return ModelInfo(
            name=name,
            digest=model.digest,
            backend=self._backend,
            size_bytes=model.size_bytes,
            modified_at=read_moment(model.modified_at),
            capabilities=frozenset(each for each in Capability if each.value in model.capabilities),
            family=model.family,
            parameter_count=model.parameter_count,
            quantization=model.quantization,
            context_length=max(model.context_length, 0),
            embedding_length=max(model.embedding_length, 0),
            is_remote=self._is_remote or model.is_remote,
            slots=self._config.slots or max(model.slots, 0),
            facts={HOPS_FACT: model.hops + 1},
        )

    def _abilities(self, there: str) -> frozenset[Capability]:
        """Tell what a model can do; whether it calls tools, its server says when it is asked to."""
        embeds = self._config.embeds
        found = there in embeds if embeds else _EMBEDDING_WORD in there.lower()
        return frozenset({Capability.EMBEDDING} if found else {Capability.COMPLETION, Capability.TOOLS})
