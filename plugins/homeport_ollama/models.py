"""The models that an Ollama has, and what each can do."""

import hashlib
import re
from collections.abc import Mapping

import attrs

from homeport import Capability, HomeportError, ModelInfo
from homeport.upstream import EPOCH, ConnectionPool, read_moment
from homeport_ollama.wire import Shown, Tag, Tags, Version

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_MODELS = 1000
_MOST_LIST_BYTES = 8 * 1024**2
_MOST_TEMPLATE_CHARACTERS = 65536
_ENCODER_WORDS = ("bert", "embed")
"""In the family or name of a model that makes vectors, for an Ollama that does not tell capabilities."""


@attrs.frozen(kw_only=True)
class KnownModel:
    """A model as it is offered here, and whether it would think aloud."""

    info: ModelInfo
    thinks: bool = False


class Models:
    """Asks for the list, and once per model for what it can do.

    Args:
        pool: Connections to the Ollama.
        backend: Name of the backend.
        slots: Answers of one model at once.
        is_remote: Whether it is on another machine.
        pullable: Names of models that may be pulled, listed also before they are.
    """

    def __init__(
        self, pool: ConnectionPool, *, backend: str, slots: int, is_remote: bool, pullable: tuple[str, ...]
    ) -> None:
        self._pool = pool
        self._backend = backend
        self._slots = slots
        self._is_remote = is_remote
        self._pullable = pullable
        self._known: dict[tuple[str, str], KnownModel] = {}

    async def look(self) -> tuple[ModelInfo, ...]:
        """List the models that there are, then those that may be pulled.

        Raises:
            HomeportError: The Ollama is away or talks nonsense.
        """
        async with self._pool.send("GET", "/api/version") as reply:
            await reply.body(Version, most_bytes=_MOST_LIST_BYTES)
        async with self._pool.send("GET", "/api/tags") as reply:
            tags = (await reply.body(Tags, most_bytes=_MOST_LIST_BYTES)).models or []
        fresh = {}
        for tag in tags[:_MOST_MODELS]:
            key = (tag.name, digest_of(tag.name, tag.digest))
            if key not in self._known:  # kept at once: a look that takes too long goes on where it was
                self._known[key] = await self._describe(tag)
            fresh[key] = self._known[key]
        self._known = fresh
        listed = tuple(known.info for known in fresh.values())
        names = {model.name.lower() for model in listed}
        return (*listed, *(self._absent(name) for name in self._pullable if name.lower() not in names))

    def is_installed(self, name: str) -> bool:
        """Tell whether the list had a model."""
        return any(known.lower() == name.lower() for known, _ in self._known)

    def thinks(self, name: str) -> bool:
        """Tell whether a model would think aloud before it answers."""
        return any(
            known.thinks for (listed, _), known in self._known.items() if listed.lower() == name.lower()
        )

    async def _describe(self, tag: Tag) -> KnownModel:
        shown = await self._show(tag.name)
        named = tag.capabilities or shown.capabilities
        details, figures = tag.details, shown.model_info or {}
        family = (details.family if details else "") or ""
        info = ModelInfo(
            name=tag.name,
            digest=digest_of(tag.name, tag.digest),
            backend=self._backend,
            size_bytes=max(tag.size or 0, 0),
            modified_at=read_moment(tag.modified_at),
            capabilities=_capabilities(named, f"{tag.name} {family}"),
            family=family,
            parameter_count=_figure(figures, "general.parameter_count"),
            quantization=(details.quantization_level if details else "") or "",
            context_length=_figure(figures, ".context_length"),
            embedding_length=_figure(figures, ".embedding_length"),
            template=_template(shown),
            is_remote=self._is_remote,
            slots=self._slots,
        )
        return KnownModel(info=info, thinks="thinking" in (named or ()))

    async def _show(self, name: str) -> Shown:
        """Ask what a model can do; one that cannot be shown is known by its row of the list."""
        try:
            async with self._pool.send("POST", "/api/show", {"model": name}, model=name) as reply:
                return await reply.body(Shown, most_bytes=_MOST_LIST_BYTES)
        except HomeportError as error:
            if error.trips_breaker:
                raise
            return Shown()

    def _absent(self, name: str) -> ModelInfo:
        return ModelInfo(
            name=name,
            digest=digest_of(name, None),
            backend=self._backend,
            modified_at=EPOCH,
            is_remote=self._is_remote,
            slots=self._slots,
        )


def _template(shown: Shown) -> str:
    """Give the template, which is only for people to read; one that is huge is left out."""
    text = shown.template or ""
    return text if len(text) <= _MOST_TEMPLATE_CHARACTERS else ""


def digest_of(name: str, given: str | None) -> str:
    """Take the digest where it is one, else make one of the name."""
    digest = (given or "").lower().removeprefix("sha256:")
    return digest if _DIGEST.fullmatch(digest) else hashlib.sha256(f"ollama {name}".encode()).hexdigest()


def _capabilities(named: list[str] | None, words: str) -> frozenset[Capability]:
    if named:
        return frozenset(each for each in Capability if each.value in named)
    encodes = any(word in words.lower() for word in _ENCODER_WORDS)
    return frozenset({Capability.EMBEDDING if encodes else Capability.COMPLETION})


def _figure(figures: Mapping[str, object], ending: str) -> int:
    """Give the first whole number whose key ends so; 0 where there is none."""
    found = (value for key, value in figures.items() if key.endswith(ending))
    return next((value for value in found if type(value) is int and value > 0), 0)
