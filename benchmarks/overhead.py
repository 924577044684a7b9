"""What the host adds to a request: latency of an echoing backend at a steady rate.

    python -m benchmarks.overhead --rate 200 --json

Requests are sent when they are due, whether or not earlier ones have been answered, and timed from then. The
clients share the cores with the server; what they take is told. A route that does nothing is measured beside
the others: its time is that of client, event loops, kernel and HTTP; what lies above it is added by the host.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import aiohttp
import click
import psutil

from benchmarks.command import Setup, command
from benchmarks.figures import percentile, rounded
from benchmarks.live_server import LiveServer, serving

_WARM_UP_REQUESTS = 200
_QUICK_SECONDS = 2.0
_OK = 200
_SERVER = Path(__file__).with_name("echo_server.py")
_PROMPT = "The quick brown fox jumps over the lazy dog"
_FLOOR = "/api/version"
_ROUTES = {
    _FLOOR: None,
    "/api/generate": {"model": "echo", "prompt": _PROMPT, "stream": False},
    "/v1/chat/completions": {
        "model": "echo",
        "messages": [{"role": "user", "content": _PROMPT}],
        "stream": True,
    },
}


@command(
    "overhead",
    click.option("--rate", default=200, show_default=True, help="Requests per second."),
    click.option("--seconds", default=20.0, show_default=True, help="Of each route."),
)
def main(setup: Setup, *, rate: int, seconds: float):
    """Measure milliseconds from when a request is due to the last byte of its answer."""
    with (
        TemporaryDirectory() as home,
        serving(Path(home), command=["-P", str(_SERVER)]) as server,
    ):
        return asyncio.run(_measured(server, rate, _QUICK_SECONDS if setup.quick else seconds))


async def _measured(server: LiveServer, rate: int, seconds: float):
    found = []
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        for route, body in _ROUTES.items():

            async def ask(route: str = route, body: object = body) -> None:
                async with session.request("GET" if body is None else "POST", route, json=body) as answer:
                    await answer.read()
                    if answer.status != _OK:
                        raise click.ClickException(f"{route} answered {answer.status}: {await answer.text()}")

            for _ in range(_WARM_UP_REQUESTS):
                await ask()
            row = await _route(server, route, ask, rate=rate, seconds=seconds)
            floor = found[0] if found else row
            added = {f"added_{key}": rounded(row[key] - floor[key]) for key in ("p50_ms", "p99_ms")}
            found.append({**row, **added})
    return found


async def _route(server: LiveServer, route: str, ask: Callable, *, rate: int, seconds: float):
    host = psutil.Process(server.process.pid)
    taken: list[float] = []
    start, host_cpu, own_cpu = time.perf_counter(), _cpu_seconds(host), time.process_time()

    async def timed(due: float) -> None:
        await ask()
        taken.append(1000 * (time.perf_counter() - due))

    async with asyncio.TaskGroup() as tasks:
        for turn in range(int(rate * seconds)):
            due = start + turn / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(timed(due))
    passed = time.perf_counter() - start
    return {
        "route": route,
        "requests_per_second": rounded(len(taken) / passed),
        "n": len(taken),
        "p50_ms": rounded(percentile(taken, 50)),
        "p95_ms": rounded(percentile(taken, 95)),
        "p99_ms": rounded(percentile(taken, 99)),
        "host_cores": rounded((_cpu_seconds(host) - host_cpu) / passed),
        "generator_cores": rounded((time.process_time() - own_cpu) / passed),
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
