"""Addresses of an Ollama in texts, and what takes their place."""

import re
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs

from homeport import InvalidRequestError

OLLAMA_PORT = 11434
SIDE_PORT = 11435
"""Where homeport listens while Ollama goes on."""

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_CONTAINER_HOSTS = frozenset({"host.docker.internal", "ollama"})
"""Names by which a container calls an Ollama beside it, or on its host."""
_BIND_HOSTS = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - recognised, never bound
_ADDRESS = re.compile(
    r"(?<![\w.@/$}])(?<![\w.]-)"
    r"(?:(?P<scheme>https?)(?P<mark>:\\?/\\?/)(?P<user>[^\s/@\"'\\]+@)?)?"
    r"(?P<place>(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*):(?P<port>[0-9]{1,5}))(?![0-9.])",
    re.IGNORECASE,
)
_PARTLY = re.compile(rf"\}}:{OLLAMA_PORT}(?![0-9])")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")


_USUAL_PORTS = {"http": 80, "https": 443}


class Place(StrEnum):
    """Whose address it is."""

    OLLAMA = "ollama"
    """Of an Ollama here, or of one that the user named: it is moved."""
    BIND = "bind"
    """Where a server listens, on every interface: it stays."""
    ELSEWHERE = "elsewhere"
    """Ollama's port on another machine: it stays."""


@attrs.frozen
class Target:
    """Where homeport is: scheme, and host with port."""

    scheme: str
    place: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read ``http://127.0.0.1:11435``; scheme or port may be left out.

        Raises:
            InvalidRequestError: It is no address, is a bare word, or has a path or a user.
        """
        _refuse_word(text.strip())
        whole = text.strip() if "://" in text else f"http://{text.strip()}"
        try:
            parts = urlsplit(whole.rstrip("/"))
            port = parts.port or (443 if parts.scheme == "https" else OLLAMA_PORT)
        except ValueError:
            parts, port = urlsplit(""), 0
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "")
        is_plain = parts.scheme in {"http", "https"} and not (parts.path or parts.query or parts.fragment)
        if not (is_plain and "@" not in parts.netloc and _HOST.fullmatch(host)):
            raise InvalidRequestError(
                f"{text!r} is no address of a server; its form is http://HOST:PORT, without path or user"
            )
        return cls(parts.scheme, f"{host}:{port}")

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{self.place}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of the same machine, or container, can reach it."""
        return self.place.rpartition(":")[0].lower() in _LOOPBACK_HOSTS


@attrs.frozen
class Targets:
    """Where homeport is for programs of this machine, and for those in containers.

    Attributes:
        outer: For the former, and for the latter too where it is no loopback address.
        inner: For the latter; None where they are not told.
    """

    outer: Target
    inner: Target | None = None

    def are_at(self, address: "Address") -> bool:
        """Whether an address leads to homeport already."""
        return any(each and each.place.lower() == address.place.lower() for each in (self.outer, self.inner))

    def of(self, address: "Address") -> Target | None:
        """Say what takes the place of an address; None where nothing can."""
        is_inner = address.place.rpartition(":")[0].lower() in _CONTAINER_HOSTS
        if is_inner and (self.inner or self.outer.is_loopback):
            return self.inner
        return self.outer


@attrs.frozen(kw_only=True)
class Address:
    """One address in a text.

    Attributes:
        start: Its first character.
        end: Behind its port.
        scheme: ``http``, ``https`` or empty.
        place: Host and port.
        place_start: Where these begin.
        kind: Whose it is.
    """

    start: int
    end: int
    scheme: str
    place: str
    place_start: int
    kind: Place


def find_addresses(text: str, sources: frozenset[str] = frozenset()) -> Iterator[Address]:
    """Find the addresses of an Ollama.

    Args:
        text: Where to look.
        sources: Further places, ``host:port`` in lower case, that are an Ollama to be moved away from.
    """
    for match in _ADDRESS.finditer(text):
        host, place = match.group("host").lower(), match.group("place").lower()
        is_port = int(match.group("port")) == OLLAMA_PORT
        if place not in sources and not is_port:
            continue
        if place in sources or host in _LOOPBACK_HOSTS | _CONTAINER_HOSTS:
            kind = Place.OLLAMA
        else:
            kind = Place.BIND if host in _BIND_HOSTS else Place.ELSEWHERE
        yield Address(
            start=match.start(),
            end=match.end(),
            scheme=(match.group("scheme") or "").lower(),
            place=match.group("place"),
            place_start=match.start("place"),
            kind=kind,
        )


def asked_place(text: str) -> tuple[str, bool]:
    """Say whom a client of Ollama asks for a value of ``OLLAMA_HOST``, and whether its port is told.

    ``http`` alone means port 80 and ``https`` 443, a bare host 11434, as ``envconfig/config.go`` of
    https://github.com/ollama/ollama has it. The place is empty where the value is no address.
    """
    value = text.strip().strip("\"'")
    scheme, mark, _ = value.partition("://")
    try:
        parts = urlsplit(value if mark else f"http://{value}")
        told = parts.port
    except ValueError:
        return "", False
    usual = _USUAL_PORTS.get(scheme.lower(), OLLAMA_PORT) if mark else OLLAMA_PORT
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "")
    return (f"{host}:{told or usual}" if host else ""), told is not None


def is_composed(text: str) -> bool:
    """Whether an address of an Ollama is put together from variables."""
    return _PARTLY.search(text) is not None


def replacements(text: str, targets: Targets, sources: frozenset[str]) -> list[tuple[int, int, str]]:
    """Say what to put in place of what, so that all of Ollama's addresses lead to homeport."""
    found: list[tuple[int, int, str]] = []
    for address in find_addresses(text, sources):
        target = targets.of(address) if address.kind is Place.OLLAMA else None
        if target is None or address.place.lower() == target.place.lower():
            continue
        if address.scheme and address.scheme != target.scheme:
            found.append((address.start, address.start + len(address.scheme), target.scheme))
        found.append((address.place_start, address.end, target.place))
    return found


def replaced(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Apply replacements, which are in order and apart from each other."""
    pieces, last = [], 0
    for start, end, new in edits:
        pieces += [text[last:start], new]
        last = end
    return "".join([*pieces, text[last:]])


def _refuse_word(text: str) -> None:
    """Refuse a word that has neither scheme nor port, and is no address either: likely a slip.

    Raises:
        InvalidRequestError: It is one.
    """
    if "://" in text or ":" in text or text.lower() == "localhost":
        return
    try:
        ip_address(text)
    except ValueError as error:
        raise InvalidRequestError(
            f"{text!r} is no address of a server: it has neither scheme nor port; "
            "allowed are http://HOST:PORT, https://HOST:PORT and HOST:PORT"
        ) from error
