"""Streaming clients of the HTTP API: what one sees of an answer, and many of them for a while."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
import attrs
import numpy as np

from benchmarks.figures import percentile

_TIMEOUT_SECONDS = 600
_WARM_UP = 0.1
_OK = 200
_PREFIX = b"data: "
_END = b"[DONE]"
_RANDOM_TOKENS = 16
"""Before a prompt that shares nothing with others."""
_FIRST_TOKEN = 1000
_LAST_TOKEN = 40_000


@attrs.frozen(kw_only=True)
class Answer:
    """One streamed answer, as its client saw it.

    Attributes:
        started_at: When it was asked for, on the performance counter.
        arrivals: When each piece of text came.
        prompt_tokens: As the server counted them.
        cached_tokens: Those of them that needed no computing.
        tokens: Generated, as the server counted them.
        error: What went wrong; empty where nothing did.
    """

    started_at: float
    arrivals: tuple[float, ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    error: str = ""

    @property
    def first_seconds(self) -> float:
        """Time to the first piece of text."""
        return self.arrivals[0] - self.started_at


@attrs.frozen(kw_only=True)
class Request:
    """What a client asks: token ids, so that lengths are exact on every model."""

    prompt: Sequence[int]
    answer_tokens: int
    seed: int = 0


class Prompts:
    """Makes prompts out of one text.

    Args:
        tokens: Of the text, repeated as often as a prompt needs.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._draw = np.random.default_rng()

    @classmethod
    def without_meaning(cls, length: int) -> Self:
        """Use so many random tokens, where the model's tokenizer is not at hand."""
        return cls(cls(()).random(length))

    def fresh(self, length: int) -> list[int]:
        """Make one that shares no beginning with any other: it starts with random tokens."""
        return self.random(min(length, _RANDOM_TOKENS)) + self.text(length - _RANDOM_TOKENS)

    def text(self, length: int) -> list[int]:
        """Take the beginning of the text."""
        repeats = -(-max(length, 0) // len(self._tokens))
        return (self._tokens * repeats)[: max(length, 0)]

    def random(self, length: int) -> list[int]:
        """Draw tokens that mean nothing."""
        return [int(token) for token in self._draw.integers(_FIRST_TOKEN, _LAST_TOKEN, length)]


class Client:
    """Asks one model of one server; make it with :func:`client`."""

    def __init__(self, session: aiohttp.ClientSession, model: str) -> None:
        self._session = session
        self._model = model

    async def ask(self, request: Request) -> Answer:
        """Stream an answer; what goes wrong is told in it.

        Sampled at temperature 1: greedy text of a model with random weights repeats itself, and speculation
        would make it faster than real text is.
        """
        body = {
            "model": self._model,
            "prompt": list(request.prompt),
            "max_tokens": request.answer_tokens,
            "temperature": 1.0,
            "seed": request.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        started = time.perf_counter()
        try:
            async with self._session.post("/v1/completions", json=body) as response:
                if response.status != _OK:
                    return Answer(started_at=started, error=f"{response.status}: {await response.text()}")
                return await _read(response.content, started)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(started_at=started, error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def client(url: str, model: str) -> AsyncIterator[Client]:
    """Open a client without a limit of connections."""
    timeout = aiohttp.ClientTimeout(_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(
        url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        yield Client(session, model)


@attrs.frozen(kw_only=True)
class Window:
    """What many clients saw in a while.

    Attributes:
        answers: All that were asked for.
        begin: Of the steady window, on the performance counter.
        end: Of it; answers that ran then were waited for, and count as far as they came.
        generator_cores: Cores that the clients themselves took, on average.
    """

    answers: tuple[Answer, ...]
    begin: float
    end: float
    generator_cores: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens that arrived in the window; pieces of an answer count alike."""
        return sum(map(self._tokens_inside, self.answers)) / (self.end - self.begin)

    @property
    def errors(self) -> list[str]:
        """What went wrong."""
        return [answer.error for answer in self.answers if answer.error]

    @property
    def gaps(self) -> list[float]:
        """Seconds between neighbouring pieces of all answers; those count that end in the window."""
        return [
            later - earlier
            for answer in self.answers
            for earlier, later in zip(answer.arrivals, answer.arrivals[1:], strict=False)
            if self.begin <= later <= self.end
        ]

    def gap_ms(self, percent: float) -> float:
        """Give a percentile of the gaps in milliseconds."""
        return round(1000 * percentile(self.gaps or [math.nan], percent), 2)

    def first_ms(self, percent: float) -> float:
        """Give a percentile of the times to the first token in milliseconds."""
        firsts = [answer.first_seconds for answer in self.answers if answer.arrivals]
        return round(1000 * percentile(firsts or [math.nan], percent), 1)

    def _tokens_inside(self, answer: Answer) -> float:
        if not answer.arrivals:
            return 0.0
        inside = sum(self.begin <= arrival <= self.end for arrival in answer.arrivals)
        return inside * answer.tokens / len(answer.arrivals)


async def drive(
    asking: Client, clients: int, requests: Callable[[int], Iterable[Request]], seconds: float
) -> Window:
    """Let clients ask one request after the other for a while.

    Args:
        asking: Of all.
        clients: How many ask at once.
        requests: The endless requests of each, by its number.
        seconds: Length of the window, which begins after a tenth of that time.
    """
    answers: list[Answer] = []
    over = asyncio.Event()

    async def ask_on(place: int) -> None:
        for request in requests(place):
            if over.is_set():
                return
            answers.append(await asking.ask(request))

    async with asyncio.TaskGroup() as tasks:
        for place in range(clients):
            tasks.create_task(ask_on(place))
        await asyncio.sleep(seconds * _WARM_UP)
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        end = time.perf_counter()
        cores = (time.process_time() - cpu) / (end - begin)
        over.set()
    return Window(answers=tuple(answers), begin=begin, end=end, generator_cores=round(cores, 3))


async def _read(content: aiohttp.StreamReader, started: float) -> Answer:
    arrivals: list[float] = []
    usage: dict[str, object] = {}
    async for line in content:
        if not line.startswith(_PREFIX) or line[len(_PREFIX) :].startswith(_END):
            continue
        event = json.loads(line[len(_PREFIX) :])
        if "error" in event:
            return Answer(started_at=started, arrivals=tuple(arrivals), error=str(event["error"]))
        if event["choices"] and event["choices"][0]["text"]:
            arrivals.append(time.perf_counter())
        usage = event.get("usage") or usage
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        started_at=started,
        arrivals=tuple(arrivals),
        prompt_tokens=usage.get("prompt_tokens", 0),
        cached_tokens=details.get("cached_tokens", 0),
        tokens=usage.get("completion_tokens", 0),
    )
