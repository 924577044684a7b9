"""Model names as Ollama's users type them: ``[host[:port]/][namespace/]model[:tag]``."""

import re
from functools import lru_cache
from typing import Self

import attrs

from homeport.domain.errors import InvalidRequestError

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
HUB_HOST = "hf.co"
"""Names under this host, and those with a namespace of their own, are Hugging Face repositories."""

_HUB_HOSTS = frozenset({HUB_HOST, "huggingface.co"})
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_HOST = re.compile(r"(?=.{1,350}\Z)[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[0-9]{1,5})?")
_MAX_OWNER_PARTS = 2
_LOCAL = ":local"
_CLOUD = ":cloud"
_REMEMBERED_NAMES = 1024
"""Names that need not be read again: each request looks at six."""


@attrs.frozen(kw_only=True)
class ModelName:
    """A whole name; compared without regard to case, shown in the case it was given.

    Attributes:
        host: Registry, with its port where it has one.
        namespace: Owner of the model.
        model: The model, such as ``smollm2``.
        tag: Its variant, such as ``135m``.
    """

    host: str = attrs.field(default=DEFAULT_HOST, eq=str.lower)
    namespace: str = attrs.field(default=DEFAULT_NAMESPACE, eq=str.lower)
    model: str = attrs.field(eq=str.lower)
    tag: str = attrs.field(default=DEFAULT_TAG, eq=str.lower)

    def __attrs_post_init__(self) -> None:
        parts = ((_HOST, self.host), (_NAMESPACE, self.namespace), (_PART, self.model), (_PART, self.tag))
        if not all(pattern.fullmatch(part) for pattern, part in parts):
            raise InvalidRequestError("invalid model name", field="model")

    @classmethod
    @lru_cache(maxsize=_REMEMBERED_NAMES)
    def parse(cls, text: str) -> Self:
        """Read a name, filling in what it leaves out.

        ``:local`` at its end is dropped, and ``:20b:cloud`` is read as the tag ``20b-cloud``.

        Raises:
            InvalidRequestError: It breaks the rules of names, or asks for both ``:local`` and ``:cloud``.
        """
        *owner, last = _without_origin(text.strip()).split("/")
        model, colon, tag = last.partition(":")
        if len(owner) > _MAX_OWNER_PARTS or not all(owner) or (colon and not tag):
            raise InvalidRequestError("invalid model name", field="model")
        host = owner[0] if len(owner) == _MAX_OWNER_PARTS else DEFAULT_HOST
        return cls(
            host=HUB_HOST if host.lower() in _HUB_HOSTS else host,
            namespace=owner[-1] if owner else DEFAULT_NAMESPACE,
            model=model,
            tag=tag or DEFAULT_TAG,
        )

    @property
    def display(self) -> str:
        """The short form: without default host and namespace, always with the tag."""
        return f"{self._owner}{self.model}:{self.tag}"

    @property
    def full(self) -> str:
        """The long form, nothing left out."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def hub_id(self) -> str | None:
        """``namespace/model`` where the name can be a repository of the Hugging Face hub."""
        own_namespace = self.namespace.lower() != DEFAULT_NAMESPACE
        if self.host == HUB_HOST or (own_namespace and self.host.lower() == DEFAULT_HOST):
            return f"{self.namespace}/{self.model}"
        return None

    @property
    def is_cloud(self) -> bool:
        """Whether it asks for Ollama's cloud, which is not found here."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")

    @property
    def _owner(self) -> str:
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/"
        return "" if self.namespace.lower() == DEFAULT_NAMESPACE else f"{self.namespace}/"


def _without_origin(text: str) -> str:
    """Drop ``:local`` and fold ``:cloud`` into the tag before it."""
    lowered = text.lower()
    if lowered.endswith(_LOCAL):
        rest = lowered.removesuffix(_LOCAL)
        if rest.endswith((_CLOUD, "-cloud")):
            raise InvalidRequestError(f'use either :local or :cloud, not both: "{text}"', field="model")
        return text[: -len(_LOCAL)]
    if lowered.endswith(_CLOUD):
        rest = text[: -len(_CLOUD)]
        if rest.lower().endswith(_LOCAL):
            raise InvalidRequestError(f'use either :local or :cloud, not both: "{text}"', field="model")
        if ":" in rest.rpartition("/")[2]:
            return f"{rest}-cloud"
    return text
