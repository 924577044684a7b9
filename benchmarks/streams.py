"""Many streams at once: whether each gets every token, and what the host takes for them.

python -m benchmarks.streams --clients 500 --seconds 300 --json
"""

import asyncio
import json
import sys
import time
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

_SERVER = Path(__file__).with_name("echo_server.py")
_QUICK_SECONDS = 3.0
_MIB = 1024**2
_PREFIX = b"data: "
_DONE = b"data: [DONE]"


@command(
    "streams",
    click.option("--clients", default=500, show_default=True, help="Streams at once."),
    click.option("--rate", default=10.0, show_default=True, help="Tokens per second of each."),
    click.option("--seconds", default=300.0, show_default=True, help="Length of each stream."),
)
def main(setup: Setup, *, clients: int, rate: float, seconds: float):
    """Measure completeness, gaps and memory of concurrent streams."""
    seconds = _QUICK_SECONDS if setup.quick else seconds
    pace = ["--slots", str(clients), "--gap-ms", str(1000 / rate)]
    with TemporaryDirectory() as home, serving(Path(home), command=["-P", str(_SERVER), *pace]) as server:
        return [asyncio.run(_measured(server, clients, rate, seconds))]


async def _measured(server: LiveServer, clients: int, rate: float, seconds: float):
    host = psutil.Process(server.process.pid)
    words = int(rate * seconds)
    prompt = " ".join(f"w{place}" for place in range(words))
    body = {"model": "echo", "prompt": prompt, "stream": True, "max_tokens": words}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(None)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=timeout) as session:
        await _stream(session, {**body, "max_tokens": 1})
        cpu, started = _cpu_seconds(host), time.perf_counter()
        streams = [asyncio.create_task(_stream(session, body)) for _ in range(clients)]
        await asyncio.sleep(min(seconds / 10, 10))
        early = host.memory_info().rss
        done = await asyncio.gather(*streams)
        late = host.memory_info().rss
    passed = time.perf_counter() - started
    gaps = [gap for _, _, found in done for gap in found]
    return {
        "clients": clients,
        "tokens": sum(tokens for tokens, _, _ in done),
        "expected_tokens": clients * words,
        "done_marks": sum(is_done for _, is_done, _ in done),
        "gap_p50_ms": rounded(1000 * percentile(gaps, 50)),
        "gap_p99_ms": rounded(1000 * percentile(gaps, 99)),
        "seconds": rounded(passed),
        "host_cores": rounded((_cpu_seconds(host) - cpu) / passed),
        "rss_growth_mib": rounded((late - early) / _MIB),
    }


async def _stream(session: aiohttp.ClientSession, body: dict[str, object]) -> tuple[int, bool, list[float]]:
    """Count the tokens of one stream, note its end mark, and every hundredth gap."""
    tokens, is_done, gaps, before = 0, False, [], time.perf_counter()
    async with session.post("/v1/completions", json=body) as answer:
        async for line in answer.content:
            if line.startswith(_DONE):
                is_done = True
            elif line.startswith(_PREFIX) and json.loads(line[len(_PREFIX) :])["choices"][0]["text"]:
                tokens, now = tokens + 1, time.perf_counter()
                gaps.append(now - before)
                before = now
    return tokens, is_done, gaps[1::100]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
