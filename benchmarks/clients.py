"""Total tokens per second of a running homeport by number of simultaneous clients.

    homeport serve &
    python benchmarks/clients.py --clients 1 --clients 8

Each client streams one raw completion over HTTP, greedy, of a fixed length. Rounds of all client counts are
interleaved, so that a noisy machine hits them alike; the median of the rounds is reported, and the ratio to
the first client count. The load generator shares the cores with the server.
"""

import json
import os
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import click

_PROMPT = "Once upon a time, in the year {}, there was"


@click.command()
@click.option("--url", default="http://127.0.0.1:11434", show_default=True)
@click.option("--model", default="smollm2:135m", show_default=True)
@click.option("--clients", multiple=True, type=int, default=(1, 2, 4, 8), show_default=True)
@click.option("--tokens", default=128, show_default=True, help="Tokens of each answer.")
@click.option("--rounds", default=3, show_default=True)
def main(url, model, clients, tokens, rounds):
    """Print one JSON object."""
    _stream(url, model, 0, 8)
    seen = {count: [] for count in clients}
    first = {count: [] for count in clients}
    for _ in range(rounds):
        for count in clients:
            rate, first_seconds = _round(url, model, count, tokens)
            seen[count].append(rate)
            first[count].append(first_seconds)
    base = statistics.median(seen[clients[0]])
    results = [
        {
            "clients": count,
            "tokens_per_second": round(statistics.median(rates), 1),
            "spread": [round(min(rates), 1), round(max(rates), 1)],
            "ratio": round(statistics.median(rates) / base, 2),
            "first_token_ms": round(1000 * statistics.median(first[count]), 1),
        }
        for count, rates in seen.items()
    ]
    machine = {"cpu": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0))}
    settings = {"model": model, "tokens": tokens, "rounds": rounds}
    print(json.dumps({**settings, "machine": machine, "results": results}))


def _round(url, model, count, tokens):
    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda place: _stream(url, model, place, tokens), range(count)))
    seconds = time.perf_counter() - started
    first = statistics.median(first for _, first in answers)
    return sum(generated for generated, _ in answers) / seconds, first


def _stream(url, model, place, tokens):
    body = {
        "model": model,
        "prompt": _PROMPT.format(1900 + place),
        "raw": True,
        "options": {"temperature": 0, "num_predict": tokens},
    }
    connection = HTTPConnection(urlsplit(url).netloc)
    started = time.perf_counter()
    connection.request("POST", "/api/generate", json.dumps(body))
    first = None
    for line in connection.getresponse():
        first = first or time.perf_counter() - started
        last = line
    connection.close()
    return json.loads(last)["eval_count"], first


if __name__ == "__main__":
    main()
