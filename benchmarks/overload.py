"""What is left of a host that is asked for ten times what it can do, and how soon it is itself again.

    python -m benchmarks.overload --seconds 60 --json

A backend with a fixed capacity echoes. Requests come when they are due, whether or not earlier ones have been
answered: first half the capacity, then ten times it, then half of it again.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import aiohttp
import attrs
import click

from benchmarks.command import Setup, command
from benchmarks.figures import percentile, rounded
from benchmarks.live_server import LiveServer, serving

_SERVER = Path(__file__).with_name("echo_server.py")
_SLOTS = 10
_SERVICE_SECONDS = 0.2
_CAPACITY = _SLOTS / _SERVICE_SECONDS
_CALM = 0.5
_QUICK_SECONDS = 3.0
_OK, _BUSY = 200, 503
_CALM_SECONDS = 10.0
_RECOVERED = 2.0
"""Times the latency of the calm before, within which the host is itself again."""
_BODY = {"model": "echo", "prompt": "hello", "stream": False}


@attrs.frozen
class Reply:
    """One answer: when it was asked for and came, on the performance counter, and its status."""

    due: float
    came: float
    status: int

    @property
    def ms(self) -> float:
        """How long it took."""
        return 1000 * (self.came - self.due)


@command(
    "overload",
    click.option("--factor", default=10.0, show_default=True, help="Load, in capacities."),
    click.option("--seconds", default=60.0, show_default=True, help="Of the overload."),
    click.option("--queue-seconds", default=2.0, show_default=True, help="Longest wait for a place."),
)
def main(setup: Setup, *, factor: float, seconds: float, queue_seconds: float):
    """Measure goodput and refusals under overload, and how long recovery takes."""
    pace = ["--slots", str(_SLOTS), "--first-ms", str(1000 * _SERVICE_SECONDS)]
    arguments = ["-P", str(_SERVER), *pace, "--queue-seconds", str(queue_seconds)]
    with TemporaryDirectory() as home, serving(Path(home), command=arguments) as server:
        return asyncio.run(_measured(server, factor, _QUICK_SECONDS if setup.quick else seconds))


async def _measured(server: LiveServer, factor: float, seconds: float):
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        calm = await _offered(session, _CALM * _CAPACITY, _CALM_SECONDS)
        cpu = time.process_time()
        began = time.perf_counter()
        storm_task = asyncio.create_task(_offered(session, factor * _CAPACITY, seconds))
        await asyncio.sleep(seconds)
        over = time.perf_counter()
        cores = (time.process_time() - cpu) / seconds
        after = await _offered(session, _CALM * _CAPACITY, _CALM_SECONDS)
        storm = await storm_task
    good = [reply for reply in storm if reply.status == _OK]
    refused = [reply.ms for reply in storm if reply.status == _BUSY]
    in_time = sum(began <= reply.came <= over for reply in good)
    return [
        {
            "load": rounded(len(storm) / seconds),
            "capacity": _CAPACITY,
            "goodput_share": rounded(in_time / seconds / _CAPACITY),
            "answered": len(good),
            "refused": len(refused),
            "other": len(storm) - len(good) - len(refused),
            "calm_p99_ms": rounded(percentile([reply.ms for reply in calm], 99)),
            "answered_p99_ms": rounded(percentile([reply.ms for reply in good], 99)),
            "refused_p50_ms": rounded(percentile(refused, 50)),
            "refused_p99_ms": rounded(percentile(refused, 99)),
            "recovery_seconds": rounded(_recovery(calm, after, over)),
            "generator_cores": rounded(cores),
        }
    ]


async def _offered(session: aiohttp.ClientSession, rate: float, seconds: float) -> list[Reply]:
    replies: list[Reply] = []

    async def ask(due: float) -> None:
        async with session.post("/api/generate", json=_BODY) as answer:
            await answer.read()
            replies.append(Reply(due, time.perf_counter(), answer.status))

    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for turn in range(int(rate * seconds)):
            due = start + turn / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    return replies


def _recovery(calm: Sequence[Reply], after: Sequence[Reply], over: float) -> float:
    """Give the time of the last request after the storm that was refused or slow."""
    bound = _RECOVERED * percentile([reply.ms for reply in calm], 99)
    late = [reply.due for reply in after if reply.status != _OK or reply.ms > bound]
    return max(late, default=over) - over


if __name__ == "__main__":
    main()
