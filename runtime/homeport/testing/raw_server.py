"""A server that says what it is told, byte by byte: for backends that must bear bad servers."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Any, Self

import attrs

_HEAD_END = b"\r\n\r\n"


class Move(Enum):
    """What a server may do instead of saying something."""

    CLOSE = "close"
    """Close the connection in good order."""
    RESET = "reset"
    """Break it off."""
    HANG = "hang"
    """Say nothing more until the client leaves."""


Step = bytes | Move
Script = Sequence[Step]


@attrs.frozen
class Asked:
    """A request that came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class RawServer:
    """Plays a script for each route; one without a script gets a 404.

    Attributes:
        scripts: By verb and path; where there are several, each is played once, the last again and again.
        asked: Requests so far.
        connections: How many were opened so far.
        left: Set when a client left while the server hung.
    """

    def __init__(self) -> None:
        self.scripts: dict[tuple[str, str], list[Script]] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self.left = asyncio.Event()
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Self]:
        """Listen on a free port; leaving breaks all connections off."""
        server = cls()
        listener = await asyncio.start_server(server._serve, "127.0.0.1", 0)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listener.close()
            for task in tuple(server._tasks):
                task.cancel()
            await asyncio.gather(*server._tasks, return_exceptions=True)
            for writer in tuple(server._writers):
                writer.transport.abort()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def play(self, method: str, path: str, *scripts: Script) -> None:
        """Set the scripts of a route."""
        self.scripts[method, path] = list(scripts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()
            self._writers.discard(writer)
            if task is not None:
                self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = await _read(reader)
        self.asked.append(asked)
        scripts = self.scripts.get((asked.method, asked.path), [[whole({"error": "no such path"}, 404)]])
        for step in scripts.pop(0) if len(scripts) > 1 else scripts[0]:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Move.RESET:
                    _reset(writer)
                    return False
                case Move.CLOSE:
                    return False
                case Move.HANG:
                    with suppress(ConnectionError):
                        await reader.read()
                    self.left.set()
                    return False
        return True


async def _read(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    data = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, json.loads(data) if data else None)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset: a linger time of 0 drops what is not yet sent."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def whole(body: object, status: int = 200, **headers: str) -> bytes:
    """Spell an answer in JSON, or of bytes as they are; ``_`` in header names stands for ``-``."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _head(status, {"Content-Length": str(len(data)), **named}) + data


def head(status: int = 200, content_type: str = "application/x-ndjson") -> bytes:
    """Spell the head of an answer in chunks."""
    return _head(status, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})


def chunk(data: bytes) -> bytes:
    """Spell a chunk; an empty one is the end."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + _HEAD_END
