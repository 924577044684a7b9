"""What clients see over HTTP: time to the first token, gaps between tokens, tokens per second of all.

    python -m benchmarks.http --model 1.1b --quant int4 --json
    python -m benchmarks.http --model 1.1b --clients 32 --soak 300 --json
    python -m benchmarks.http --url http://127.0.0.1:11434 --name smollm2:135m --clients 8 --prompt 16

Runs a ``homeport serve`` of its own, or asks the one that ``--url`` names. Prompts of mixed lengths share no
beginning unless the figure says so. The clients share the cores with the server; what they take is told.
"""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import attrs
import click
import numpy as np

from benchmarks.command import Setup, command
from benchmarks.figures import Spread, rounded
from benchmarks.installed import PUBLISHED, QUANTS, folder_of, home_of, model_name
from benchmarks.live_server import LiveServer, serving
from benchmarks.models import PEER_KIND, STARTER, peer_file
from benchmarks.passage import passage_tokens
from benchmarks.peer import LlamaCpp
from benchmarks.random_llama import SIZES
from benchmarks.traffic import Client, Prompts, Request, Window, client, drive

_CLIENTS = (1, 8, 32)
_PROMPT_LENGTHS = (16, 64, 256, 1024)
_ANSWER_TOKENS = 128
_PREFIX_TOKENS = 512
_TAIL_TOKENS = 8
_ROUNDS = 3
_WINDOW_SECONDS = 20.0
_QUICK_SECONDS = 2.0
_FIRST_TOKEN_ROUNDS = 7
_SOAK_SAMPLES = 10


@attrs.frozen(kw_only=True)
class _Mix:
    """What clients ask for: prompts of these lengths by chance, answers of one length."""

    prompts: tuple[int, ...]
    answer: int

    @property
    def context(self) -> int:
        """Tokens of the longest conversation."""
        return max(self.prompts) + self.answer

    def requests(self, prompts: Prompts) -> Callable[[int], Iterator[Request]]:
        """Give each client endless requests, none with the beginning of another."""

        def of_client(place: int) -> Iterator[Request]:
            draw = np.random.default_rng(place)
            for turn in itertools.count():
                prompt = prompts.fresh(int(draw.choice(self.prompts)))
                yield Request(prompt=prompt, answer_tokens=self.answer, seed=turn)

        return of_client

    def one_slot_rate(self, peer: LlamaCpp) -> float:
        """Give the peer's tokens per second for one request of each length after the other."""
        seconds = peer.answers([(length, self.answer) for length in self.prompts])
        return self.answer * len(self.prompts) / seconds


@attrs.frozen(kw_only=True)
class _Target:
    """What is asked: the process is None where the server is not ours."""

    asking: Client
    prompts: Prompts
    mix: _Mix
    server: LiveServer | None


@command(
    "http",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option("--quant", type=click.Choice([*QUANTS, PUBLISHED]), default="int4", show_default=True),
    click.option("--clients", type=int, multiple=True, default=_CLIENTS, show_default=True),
    click.option("--prompt", "prompts", type=int, multiple=True, default=_PROMPT_LENGTHS, show_default=True),
    click.option("--answer", default=_ANSWER_TOKENS, show_default=True, help="Tokens of each answer."),
    click.option("--seconds", default=_WINDOW_SECONDS, show_default=True, help="Of each window."),
    click.option("--soak", default=0.0, show_default=True, help="Seconds of one long window instead."),
    click.option("--url", help="Ask this server instead of one of its own."),
    click.option("--name", help="The model's name on that server."),
)
def main(
    setup: Setup,
    *,
    model: str,
    quant: str,
    clients: Sequence[int],
    prompts: Sequence[int],
    answer: int,
    seconds: float,
    soak: float,
    url: str | None,
    name: str | None,
):
    """Measure first tokens with known and unknown prefixes, and streams of many clients."""
    if (url is None) != (name is None):
        raise click.UsageError("--url and --name go together")
    seconds = _QUICK_SECONDS if setup.quick else seconds
    mix = _Mix(prompts=tuple(prompts), answer=answer)
    target = _theirs(url, name, mix) if url and name else _ours(setup, model, quant, mix, slots=max(clients))
    gguf = peer_file(setup.models, model, PEER_KIND[quant]) if setup.peer and not url else None
    return asyncio.run(_measured(setup, target, gguf, clients=clients, seconds=seconds, soak=soak))


async def _measured(
    setup: Setup,
    opening: AbstractAsyncContextManager[_Target],
    gguf: Path | None,
    *,
    clients: Sequence[int],
    seconds: float,
    soak: float,
):
    async with opening as target:
        cold = await target.asking.ask(_request(target.prompts.random(_TAIL_TOKENS), answer=2))
        _refuse_errors([cold.error])
        if soak:
            return [await _soak(target, max(clients), soak)]
        first = {
            "measure": "first_token",
            "case": "cold",
            "prompt_tokens": cold.prompt_tokens,
            "ms": Spread.of([1000 * cold.first_seconds]),
        }
        found = [first, *await _first_tokens(target, setup.rounds(_FIRST_TOKEN_ROUNDS))]
        with setup.llama_cpp() as peer:
            if peer is not None and gguf is not None:
                peer.open(gguf, threads=setup.threads, context=target.mix.context, sequences=1)
            return found + await _throughput(target, clients, seconds, setup.rounds(_ROUNDS), peer)


async def _first_tokens(target: _Target, rounds: int):
    """Ask for two tokens after 520: with 512 that the server has just seen, and with none."""
    shared = target.prompts.fresh(_PREFIX_TOKENS)
    await target.asking.ask(_request(shared, answer=2))
    answers = {"prefix miss": [], "prefix hit": []}
    for _ in range(rounds):
        tail = target.prompts.random(_TAIL_TOKENS)
        fresh = target.prompts.fresh(_PREFIX_TOKENS)
        answers["prefix miss"].append(await target.asking.ask(_request(fresh + tail, answer=2)))
        answers["prefix hit"].append(await target.asking.ask(_request(shared + tail, answer=2)))
    _refuse_errors(answer.error for taken in answers.values() for answer in taken)
    return [
        {
            "measure": "first_token",
            "case": case,
            "prompt_tokens": taken[0].prompt_tokens,
            "cached_tokens": taken[0].cached_tokens,
            "ms": Spread.of(1000 * answer.first_seconds for answer in taken),
        }
        for case, taken in answers.items()
    ]


async def _throughput(
    target: _Target, clients: Sequence[int], seconds: float, rounds: int, peer: LlamaCpp | None
):
    windows: dict[int, list[Window]] = {count: [] for count in clients}
    one_slot = []
    for _ in range(rounds):
        for count in clients:
            windows[count].append(
                await drive(target.asking, count, target.mix.requests(target.prompts), seconds)
            )
        if peer is not None:
            one_slot.append(await asyncio.to_thread(target.mix.one_slot_rate, peer))
    rates = {count: Spread.of(one.tokens_per_second for one in taken) for count, taken in windows.items()}
    return [
        {
            "measure": "throughput",
            "clients": count,
            "tokens_per_second": rates[count],
            "ratio": rounded(rates[count].median / rates[clients[0]].median),
            **_stream_figures(taken),
        }
        for count, taken in windows.items()
    ] + [
        {"measure": "one slot, without HTTP", "engine": "llama.cpp", "tokens_per_second": Spread.of(one_slot)}
        for _ in one_slot[:1]
    ]


async def _soak(target: _Target, clients: int, seconds: float):
    samples: list[float] = []

    async def watch() -> None:
        for _ in range(_SOAK_SAMPLES):
            await asyncio.sleep(seconds / _SOAK_SAMPLES)
            if target.server is not None:
                samples.append((await asyncio.to_thread(target.server.memory))["worker_pss"])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        window = await drive(target.asking, clients, target.mix.requests(target.prompts), seconds)
    figures = _stream_figures([window])
    return {
        "measure": "soak",
        "clients": clients,
        "seconds": seconds,
        "answers": len(window.answers),
        "tokens_per_second": rounded(window.tokens_per_second),
        **figures,
        "p99_over_median": rounded(figures["gap_p99_ms"] / figures["gap_p50_ms"]),
        "worker_pss_mib": samples,
    }


def _stream_figures(windows: Sequence[Window]) -> dict[str, float]:
    """Give medians over windows, and all errors."""
    return {
        **{
            f"{figure}_p{percent}_ms": rounded(
                float(np.median([getattr(one, f"{figure}_ms")(percent) for one in windows]))
            )
            for figure, percent in (("first", 50), ("first", 99), ("gap", 50), ("gap", 95), ("gap", 99))
        },
        "errors": sum(len(one.errors) for one in windows),
        "generator_cores": rounded(float(np.median([one.generator_cores for one in windows]))),
    }


def _request(prompt: Sequence[int], *, answer: int) -> Request:
    return Request(prompt=prompt, answer_tokens=answer)


def _refuse_errors(errors) -> None:
    for error in errors:
        if error:
            raise click.ClickException(f"the server failed: {error}")


@asynccontextmanager
async def _ours(setup: Setup, model: str, quant: str, mix: _Mix, *, slots: int) -> AsyncIterator[_Target]:
    prompts = Prompts(passage_tokens(folder_of(setup.models, model, quant)))
    settings = {"models_slots": slots, "models_threads": setup.threads, "models_keep_alive": "-1"}
    with serving(home_of(setup.models), **settings) as server:
        async with client(server.url, model_name(model, quant)) as asking:
            yield _Target(asking=asking, prompts=prompts, mix=mix, server=server)


@asynccontextmanager
async def _theirs(url: str, name: str, mix: _Mix) -> AsyncIterator[_Target]:
    prompts = Prompts.without_meaning(max(mix.prompts))
    async with client(url, name) as asking:
        yield _Target(asking=asking, prompts=prompts, mix=mix, server=None)


if __name__ == "__main__":
    main()
