"""A backend that follows a script: slow, broken or lying on command, with a record of what it was asked."""

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import attrs

from homeport import (
    BackendError,
    Capability,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    InvalidRequestError,
    ModelInfo,
    ModelNotFoundError,
    OverloadedError,
    PromptAccepted,
    Request,
    TextDelta,
    Usage,
)
from homeport.testing.prompt_text import prompt_text
from homeport.testing.script import Fault, Script

_WORD = re.compile(r" ?[^ ]+| +")
_LIE_TOKENS = -7
_EMBEDDING_LENGTH = 4


@attrs.define(kw_only=True)
class ScriptedCall:
    """What became of one call; moments are those of the event loop's clock.

    Attributes:
        request: As the backend got it.
        script: What it followed.
        began_at: When the stream was opened.
        ended_at: When it was closed; None while it is open.
        tokens: How many were sent.
        is_finished: Whether the last event was sent.
    """

    request: Request
    script: Script
    began_at: float
    ended_at: float | None = None
    tokens: int = 0
    is_finished: bool = False


_BEFORE_ANY_EVENT = frozenset({Fault.SERVER_ERROR, Fault.OVERLOADED, Fault.REFUSED})
_CUT_SHORT = frozenset({Fault.CUT, Fault.GARBAGE})


class ScriptedBackend:
    """A remote backend for tests of what calls it: it answers with the words of the prompt, by script.

    Args:
        name: Of the backend.
        scripts: For each model what its next call follows; the last script stays when there are no more.
        slots: What it announces for each of its models.
        continues: Whether it goes on behind ``GenerationRequest.begun``; otherwise it begins from the start.
        accent: Stands behind every word, so that an answer tells who gave it.
        is_remote: Whether it says that requests leave this machine.

    Attributes:
        calls: Every call so far, in the order in which they began.
        running: Open calls of each model.
        most_running: The most there ever were.
        offered: Its models.
    """

    def __init__(
        self,
        name: str,
        scripts: Mapping[str, Iterator[Script] | Sequence[Script]],
        *,
        slots: int = 0,
        continues: bool = False,
        accent: str = "",
        is_remote: bool = False,
    ) -> None:
        self.name = name
        self.offered = tuple(scripts)
        self.calls: list[ScriptedCall] = []
        self.running: Counter[str] = Counter()
        self.most_running: Counter[str] = Counter()
        self._scripts = {model: iter(given) for model, given in scripts.items()}
        self._last: dict[str, Script] = {}
        self._slots = slots
        self._continues = continues
        self._accent = accent
        self._is_remote = is_remote

    async def models(self) -> Sequence[ModelInfo]:
        """Offer every model that has a script."""
        return tuple(self._info(model) for model in self._scripts)

    def answer_to(self, request: GenerationRequest) -> str:
        """Give the whole text that an undisturbed call answers with, ``begun`` left out."""
        return "".join(self._pieces(request))

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Stream an answer as the next script of the model says.

        Raises:
            ModelNotFoundError: It has no script.
            BackendError: Nobody answers.
        """
        async with self._call(request) as call:
            if call.script.fault is Fault.CONNECT:
                await asyncio.sleep(call.script.first_token_seconds)
                raise BackendError(f"backend {self.name!r} does not answer")
            try:
                async with aclosing(self._events(call, request)) as events:
                    yield events
            finally:
                if call.script.fault is Fault.SLOW_CLOSE:
                    await asyncio.sleep(call.script.close_seconds)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Map each input to a unit vector, or fail as the next script of the model says.

        Raises:
            ModelNotFoundError: It has no script.
            HomeportError: Whatever the script says.
        """
        async with self._call(request) as call:
            await asyncio.sleep(call.script.first_token_seconds)
            await self._disturb(call)
            if call.script.fault in _CUT_SHORT:
                return cast("EmbeddingResult", "garbage")
            call.is_finished = True
            width = min(request.dimensions or _EMBEDDING_LENGTH, _EMBEDDING_LENGTH)
            vector = (1.0,) + (0.0,) * (width - 1)
            return EmbeddingResult((vector,) * len(request.inputs), prompt_tokens=len(request.inputs))

    async def aclose(self) -> None:
        """Nothing is open."""

    @asynccontextmanager
    async def _call(self, request: Request) -> AsyncIterator[ScriptedCall]:
        """Record a call from its beginning to its end, however it ends."""
        model = request.model
        if model not in self._scripts:
            raise ModelNotFoundError(model)
        now = asyncio.get_running_loop().time
        script = self._last[model] = next(self._scripts[model], self._last.get(model, Script()))
        call = ScriptedCall(request=request, script=script, began_at=now())
        self.calls.append(call)
        self.running[model] += 1
        self.most_running[model] = max(self.most_running[model], self.running[model])
        try:
            yield call
        finally:
            self.running[model] -= 1
            call.ended_at = now()

    async def _events(
        self, call: ScriptedCall, request: GenerationRequest
    ) -> AsyncGenerator[GenerationEvent]:
        pieces = self._pieces(request)
        script = call.script
        await asyncio.sleep(script.first_token_seconds)
        if script.fault in _BEFORE_ANY_EVENT:
            await self._disturb(call)
        prompt_tokens = len(prompt_text(request).split())
        yield PromptAccepted(prompt_tokens)
        for place in range(len(pieces) + 1):
            if place == min(script.at_token, len(pieces)):
                await self._disturb(call)
                if script.fault is Fault.GARBAGE:
                    yield cast("GenerationEvent", "garbage")
                if script.fault in _CUT_SHORT:
                    return
            if place < len(pieces):
                await asyncio.sleep(1 / script.tokens_per_second)
                call.tokens += 1
                yield TextDelta(pieces[place])
        call.is_finished = True
        yield Finished(self._reason(request, len(pieces)), _usage(script, prompt_tokens, len(pieces)))

    async def _disturb(self, call: ScriptedCall) -> None:
        """Do what goes wrong in the middle of a call."""
        match call.script.fault:
            case Fault.CONNECT | Fault.SERVER_ERROR | Fault.BREAK:
                raise BackendError(f"backend {self.name!r} failed: {call.script.fault}")
            case Fault.OVERLOADED:
                seconds = call.script.retry_after_seconds
                raise OverloadedError(f"backend {self.name!r} is busy", retry_after_seconds=seconds)
            case Fault.REFUSED:
                raise InvalidRequestError(f"backend {self.name!r} finds the request wrong")
            case Fault.BUG:
                raise ZeroDivisionError(f"a bug in backend {self.name!r}")
            case Fault.STALL:
                await asyncio.Event().wait()

    def _pieces(self, request: GenerationRequest) -> list[str]:
        """Split what is still to be said into tokens."""
        pieces = [word + self._accent for word in _WORD.findall(prompt_text(request))]
        pieces = _up_to(request.sampling.stop, pieces)
        if self._continues:
            pieces = _behind(request.begun, pieces)
        limit = request.sampling.max_tokens
        return pieces if limit is None else pieces[:limit]

    def _reason(self, request: GenerationRequest, given: int) -> FinishReason:
        unbound = attrs.evolve(request, sampling=attrs.evolve(request.sampling, max_tokens=None))
        return FinishReason.STOP if given == len(self._pieces(unbound)) else FinishReason.LENGTH

    def _info(self, model: str) -> ModelInfo:
        return ModelInfo(
            name=model,
            digest=hashlib.sha256(f"{model}{self._accent}".encode()).hexdigest(),
            backend=self.name,
            modified_at=datetime(2026, 1, 1, tzinfo=UTC),
            capabilities=frozenset(Capability),
            family="scripted",
            context_length=4096,
            embedding_length=_EMBEDDING_LENGTH,
            is_remote=self._is_remote,
            slots=self._slots,
            continues=self._continues,
        )


def _up_to(stops: Sequence[str], pieces: Sequence[str]) -> list[str]:
    """Leave out what stands behind the first stop text."""
    whole = "".join(pieces)
    left = min((whole.index(stop) for stop in stops if stop and stop in whole), default=len(whole))
    kept = []
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
    return [piece for piece in kept if piece]


def _behind(begun: str, pieces: Sequence[str]) -> list[str]:
    """Leave out what is there already.

    Raises:
        InvalidRequestError: It is not how this answer begins.
    """
    whole = "".join(pieces)
    if not whole.startswith(begun):
        raise InvalidRequestError(f"this answer does not begin with {begun!r:.80}", field="begun")
    rest = list(pieces)
    left = len(begun)
    while left:
        taken = min(left, len(rest[0]))
        rest[:1] = [rest[0][taken:]] if taken < len(rest[0]) else []
        left -= taken
    return rest


def _usage(script: Script, prompt_tokens: int, completion_tokens: int) -> Usage:
    if script.fault is Fault.WRONG_USAGE:
        return Usage(prompt_tokens=_LIE_TOKENS, completion_tokens=_LIE_TOKENS, completion_seconds=math.nan)
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
