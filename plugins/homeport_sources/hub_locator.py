"""Locators of repositories of the Hugging Face hub."""

import re

import attrs

from homeport_sources.locator import Locator

SCHEME = "hf"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*")


@attrs.frozen(kw_only=True)
class HubLocator:
    """``hf:NAMESPACE/MODEL?revision=...&quant=...``; what it leaves out is the newest, and safetensors.

    Attributes:
        repository: ``NAMESPACE/MODEL``.
        revision: Commit, branch or tag; None is the main branch.
        quant: Precision of a GGUF file; empty takes safetensors where there are any.
    """

    repository: str
    revision: str | None = None
    quant: str = ""

    @classmethod
    def parse(cls, text: str) -> "HubLocator | None":
        """Read a locator; None where it is not one of the hub."""
        locator = Locator.parse(text, SCHEME)
        if locator is None or not _REPOSITORY.fullmatch(locator.path):
            return None
        options = locator.options
        return cls(repository=locator.path, revision=options.get("revision"), quant=options.get("quant", ""))
