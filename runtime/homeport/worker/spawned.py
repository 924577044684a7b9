"""A worker process as the system sees it: started, spoken to over a socket, ended."""

import asyncio
import contextlib
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process

import attrs
from loguru import logger

CLOSE_SECONDS = 1.0
"""How long a process may take to go by itself; two seconds after an eviction its memory must be free."""
_SPIN_COUNT = "1000"
_BLAS_SPIN = "20"
"""A power of two, in cycles of the processor: about 0.4 ms."""


@attrs.frozen(kw_only=True)
class SpawnedWorker:
    """A worker process that imports what it needs and then waits for what it is to load.

    Attributes:
        process: That runs.
        reader: What it sends.
        writer: What it is sent.
    """

    process: Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, *, threads: int, log_level: str) -> "SpawnedWorker":
        """Start a process.

        Args:
            threads: Its libraries compute on.
            log_level: From which on it logs.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # nothing is imported from the folder that the host happens to stand in
                    "-m",
                    "homeport.worker",
                    str(theirs.fileno()),
                    log_level,
                    pass_fds=(theirs.fileno(),),
                    stdin=DEVNULL,
                    env=_environment(threads),
                    start_new_session=True,  # Ctrl-C at the terminal is for the host, also amid our imports
                )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        return cls(process=process, reader=reader, writer=writer)

    @property
    def is_alive(self) -> bool:
        """Whether nothing tells yet that it ended."""
        return self.process.returncode is None and not self.reader.at_eof()

    def kill(self) -> None:
        """End it at once; one that has ended is left alone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def abort(self) -> None:
        """End it at once and wait for that: there is nothing it could lose."""
        self.kill()
        self.writer.close()
        await self.process.wait()

    async def close(self, name: str) -> None:
        """End it: closing the channel tells it to go, a kill follows where it does not.

        Args:
            name: What it is, for the log.
        """
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            logger.warning("{} (pid {}) does not go; it is killed", name, self.process.pid)
            self.writer.transport.abort()  # what it did not read
            await self.abort()
            if isinstance(error, asyncio.CancelledError):
                raise


def _environment(threads: int) -> dict[str, str]:
    """Give a worker one pool of threads, which does not spin for long.

    With GNU OpenMP's default, busy workers on shared cores wait for each other's spinning threads: a step of
    the starter model took 290 to 510 ms, against 53 to 69 ms with a short spin and 15 to 18 ms alone.
    Those of OpenBLAS, which numpy starts when it is imported, spin for 0.07 to 0.11 s of a second core while
    the model's files are hashed there.
    """
    count = str(threads)
    pool = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    spins = {"GOMP_SPINCOUNT": _SPIN_COUNT, "OPENBLAS_THREAD_TIMEOUT": _BLAS_SPIN}
    return {**spins, **os.environ, **pool}
