"""Keys of other servers: read when they are needed, never kept and never shown."""

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from homeport import BackendRefusedError
from homeport_remote.config import UpstreamConfig

_MOST_KEY_BYTES = 8192
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeySource:
    """Gives the header that lets us in.

    Args:
        backend: Its name, for messages.
        config: Names a variable or a file, or neither.
    """

    def __init__(self, backend: str, config: UpstreamConfig) -> None:
        self._backend = backend
        self._variable = config.key_env
        self._file = config.key_file

    @property
    def is_set(self) -> bool:
        """Whether there is a key at all."""
        return self._variable is not None or self._file is not None

    async def headers(self) -> Mapping[str, str]:
        """Give the header; none where no key is configured.

        Raises:
            BackendRefusedError: The key is missing, or others can read its file.
        """
        if self._file is not None:
            return _bearer(await asyncio.to_thread(self._read, self._file), f"the key file {self._file}")
        if self._variable is not None:
            return _bearer(os.environ.get(self._variable, ""), f"the variable {self._variable}")
        return {}

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if mode & _OTHERS:
                    raise BackendRefusedError(
                        f"backend {self._backend!r} does not use the key file {path}: others can read it",
                        hint=f"Run: chmod 600 {path}",
                    )
                return file.read(_MOST_KEY_BYTES).decode("ascii", errors="replace")
        except OSError as error:
            raise BackendRefusedError(
                f"backend {self._backend!r} cannot read its key file: {error}",
                hint=f"Put the key into {path}, then run: chmod 600 {path}",
            ) from error


def _bearer(text: str, place: str) -> Mapping[str, str]:
    key = text.strip()
    if not key:
        raise BackendRefusedError(f"there is no key in {place}", hint=f"Put the key into {place}")
    if not (key.isascii() and key.isprintable()):
        raise BackendRefusedError(
            f"what stands in {place} is no key: it holds characters that no header may have",
            hint=f"Put the key, and nothing else, into {place}",
        )
    return {"Authorization": f"Bearer {key}"}
