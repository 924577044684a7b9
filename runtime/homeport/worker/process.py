"""The host's end of a worker: starts the process, sends requests, hands out what comes back."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
from loguru import logger

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import LoadError, WorkerDiedError
from homeport.domain.generation import Finished, GenerationEvent, GenerationRequest
from homeport.engine.options import EngineOptions
from homeport.plugin.token_model import LoadPlan, TokenModelFacts
from homeport.worker.answers import Answer, Answers
from homeport.worker.channel import (
    Accepted,
    Beat,
    Call,
    Cancel,
    Delta,
    Embed,
    End,
    Failure,
    Load,
    Ready,
    Scored,
    Thought,
    ToWorker,
    Vectors,
    error_of,
    event_of,
    frame,
    from_worker_decoder,
    generate_message,
    receive_async,
)
from homeport.worker.exit_status import exit_words
from homeport.worker.pulse import Pulse, beat_seconds
from homeport.worker.spare import SpareWorker
from homeport.worker.spawned import CLOSE_SECONDS, SpawnedWorker


@attrs.frozen(kw_only=True)
class WorkerLaunch:
    """What a worker is to run.

    Attributes:
        model: Display name, for messages.
        factory: Import string of a ``TokenModel``.
        config_class: Import string of its attrs configuration; None where it has none.
        config: Plain values for it.
        path: Folder of the model.
        plan: What the model may use.
        options: How its engine works.
        log_level: From which on it logs.
        load_timeout_seconds: How long it may take to get ready, and for its first step after that.
        step_timeout_seconds: How long it may take for any other step before it is killed.
    """

    model: str
    factory: str
    config_class: str | None
    config: dict[str, Any]
    path: Path
    plan: LoadPlan
    options: EngineOptions = EngineOptions()
    log_level: str = "INFO"
    load_timeout_seconds: float = 300.0
    step_timeout_seconds: float = 15.0


class WorkerProcess:
    """A worker that has loaded its model.

    Use :meth:`start`; after :meth:`close`, or when the process died, every request raises
    ``WorkerDiedError``.
    """

    def __init__(self, launch: WorkerLaunch, process: SpawnedWorker) -> None:
        self._model = launch.model
        self._pulse = Pulse(
            tick_seconds=beat_seconds(launch.step_timeout_seconds),
            step_timeout_seconds=launch.step_timeout_seconds,
            first_step_timeout_seconds=launch.load_timeout_seconds,
        )
        self._killed_for = ""
        self._process = process
        self._answers = Answers(self._died)
        self._facts: TokenModelFacts | None = None

    @classmethod
    async def start(
        cls,
        launch: WorkerLaunch,
        *,
        spawned: Callable[[int], None] = lambda _: None,
        spare: SpareWorker | None = None,
    ) -> "WorkerProcess":
        """Start a process and wait until its model is loaded.

        Args:
            launch: What it is to run.
            spawned: Told its id as soon as it runs.
            spare: Whose process is taken where it fits.

        Raises:
            LoadError: It could not be loaded, in time or at all.
        """
        timeout_seconds = launch.load_timeout_seconds
        worker = cls(launch, await _process_for(launch, spare))
        spawned(worker.pid)
        try:
            async with asyncio.timeout(timeout_seconds):
                worker._facts = await worker._load(launch)
        except TimeoutError as error:
            await worker.close()
            message = f"{launch.model} was not loaded within {timeout_seconds:.0f} s"
            hint = "Raise [models] load_timeout_seconds"
            raise LoadError(message, hint=hint) from error
        except BaseException:
            await worker.close()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.process.pid

    @property
    def pulse(self) -> Pulse:
        """How it is, as it told last."""
        return self._pulse

    @property
    def ended(self) -> asyncio.Event:
        """Set when the worker sends nothing any more."""
        return self._answers.ended

    @property
    def facts(self) -> TokenModelFacts:
        """What the model told of itself when it was loaded."""
        if self._facts is None:
            message = f"{self._model} is not loaded"
            raise LoadError(message)
        return self._facts

    async def listen(self) -> None:
        """Hand out what the worker sends, until it ends; run this as a task beside the requests.

        A worker that hangs, or sends what is no message, is killed.
        """
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            try:
                await self._receive()
            finally:
                self._answers.end()
                watching.cancel()

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Stream an answer; leaving the context frees the slot.

        Raises:
            HomeportError: What the engine reported, or ``WorkerDiedError``.
        """
        with self._answers.expect(request.id):
            stream = self._events(request)
            try:
                yield stream
            finally:
                await stream.aclose()

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed texts.

        Raises:
            HomeportError: What the engine reported, or ``WorkerDiedError``.
        """
        with self._answers.expect(request.id):
            try:
                await self._send(Embed(request))
                message = await self._answers.next(request.id)
            except asyncio.CancelledError:
                await self._cancel(request.id)
                raise
        match message:
            case Vectors(vectors=vectors, prompt_tokens=tokens):
                return EmbeddingResult(vectors, tokens)
            case other:
                raise self._unexpected(other)

    async def end_words(self) -> str:
        """Say how it ended that sends nothing any more; waits a little for the system to tell."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._process.process.wait()
        return self._end_words()

    async def close(self) -> None:
        """End the process: closing the channel tells it to go, a kill follows where it does not."""
        await self._process.close(f"the worker of {self._model}")

    async def _receive(self) -> None:
        while (payload := await receive_async(self._process.reader)) is not None:
            try:
                message = from_worker_decoder.decode(payload)
            except msgspec.DecodeError as error:
                logger.error("the worker of {} (pid {}) is killed, it sent {}", self._model, self.pid, error)
                self._kill("it sent what is no message")
                return
            match message:
                case Beat() as beat:
                    self._pulse.feel(beat)
                case Ready():
                    logger.error("the worker of {} (pid {}) got ready twice", self._model, self.pid)
                case answer:
                    self._answers.put(answer)

    async def _watch(self) -> None:
        """Kill the worker when it hangs; a process that was stopped is not told, it is dead too."""
        await asyncio.sleep(self._pulse.tick_seconds)
        while not self._pulse.tick():  # noqa: ASYNC110 - the passing of time is what is counted
            await asyncio.sleep(self._pulse.tick_seconds)
        seconds = self._pulse.step_timeout_seconds
        logger.error(
            "the worker of {} (pid {}) has not moved for {:g} s; it is killed", self._model, self.pid, seconds
        )
        self._kill("it did not move any more")

    def _kill(self, cause: str) -> None:
        self._killed_for = cause
        self._process.kill()

    async def _load(self, launch: WorkerLaunch) -> TokenModelFacts:
        await self._send(
            Load(
                launch.factory,
                launch.config_class,
                launch.config,
                str(launch.path),
                launch.plan,
                launch.options,
                beat_seconds(launch.step_timeout_seconds),
            )
        )
        payload = await receive_async(self._process.reader)
        message = None if payload is None else from_worker_decoder.decode(payload)
        match message:
            case Ready(facts=facts):
                return facts
            case Failure():
                raise error_of(message)
            case _:
                status = exit_words(await self._process.process.wait())
                text = f"the worker of {launch.model} ended while loading ({status})"
                raise LoadError(text, hint="See the log for its last words")

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        finished = False
        try:
            await self._send(generate_message(request))
            while not finished:
                match await self._answers.next(request.id):
                    case (Accepted() | Scored() | Delta() | Thought() | Call() | End()) as message:
                        event = event_of(message)
                        finished = isinstance(event, Finished)
                        yield event
                    case other:
                        finished = True
                        raise self._unexpected(other)
        finally:
            if not finished:
                await self._cancel(request.id)

    async def _cancel(self, request_id: str) -> None:
        """Free what a request holds; a worker that is gone holds nothing."""
        with contextlib.suppress(WorkerDiedError):
            await self._send(Cancel(request_id))

    async def _send(self, message: ToWorker) -> None:
        try:
            self._process.writer.write(frame(message))
            await self._process.writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise self._died() from error

    def _died(self) -> WorkerDiedError:
        message = f"the worker of {self._model} ended ({self._end_words()})"
        return WorkerDiedError(message, hint="Ask again: a new worker is started")

    def _end_words(self) -> str:
        """Say how it ended, as far as that is known by now."""
        returncode = self._process.process.returncode
        return self._killed_for or ("its channel closed" if returncode is None else exit_words(returncode))

    def _unexpected(self, message: Answer) -> WorkerDiedError:
        text = f"the worker of {self._model} answered {type(message).__name__} out of turn"
        return WorkerDiedError(text)


async def _process_for(launch: WorkerLaunch, spare: SpareWorker | None) -> SpawnedWorker:
    threads, log_level = launch.plan.threads, launch.log_level
    if spare is not None:
        taken = await spare.take(factory=launch.factory, threads=threads, log_level=log_level)
        if taken is not None:
            return taken
    return await SpawnedWorker.start(threads=threads, log_level=log_level)
