"""Raw values with the place each was set: a file's line, a variable, a flag."""

from collections.abc import Mapping
from typing import Any

import attrs

from homeport.config.key_path import KeyPath, dotted


@attrs.frozen
class Assignment:
    """One value given to one setting.

    Attributes:
        path: ``("server", "port")``.
        value: As TOML would give it.
        origin: Where it stands, for people: ``homeport.toml line 12``, ``variable LOG_LEVEL``.
        inner: Where what lies within the value stands, by dotted path; of the items of an array.
    """

    path: KeyPath
    value: Any
    origin: str
    inner: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)

    @property
    def dotted(self) -> str:
        """The path as a TOML key."""
        return dotted(self.path)
