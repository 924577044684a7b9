"""What runs in a worker: one thread reads messages, the main thread computes and answers."""

import os
import queue
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from loguru import logger

from homeport.config.structuring import structure
from homeport.domain.errors import HomeportError, LoadError
from homeport.engine.engine import Engine, EngineEvent
from homeport.engine.tokenizer import TextTokenizer
from homeport.plugin.imports import import_object
from homeport.worker.channel import (
    Beat,
    Cancel,
    Embed,
    FromWorker,
    Generate,
    Load,
    Prepare,
    Ready,
    ToWorker,
    event_message,
    failure_message,
    frame,
    receive,
    request_of,
    to_worker_decoder,
)
from homeport.worker.memory import peak_bytes, resident_bytes, spare_bytes
from homeport.worker.pulse import BEAT_SECONDS

_MEMORY_SECONDS = 2.0
"""How often a worker looks at what memory is left: 0.1 ms each time."""


class WorkerServer:
    """Serves one model over a socket whose other end is the host.

    When the host goes away the process ends at once, in the middle of a step too: there is nothing to keep.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._memory_due = 0.0
        self._steps = 0
        self._waits = False
        self._cached_tokens = 0
        self._inbox: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()

    def serve(self) -> None:
        """Load what a message says, then answer until the host closes."""
        threading.Thread(target=self._read, name="channel", daemon=True).start()
        while isinstance(first := self._inbox.get(), Prepare):
            _import_ahead(first.factory)
        try:
            engine = _build(first)
        except HomeportError as error:
            self._send(failure_message("", error))
            return
        except Exception as error:  # noqa: BLE001 - a backend may raise anything while loading
            logger.exception("the model could not be built")
            self._send(failure_message("", LoadError(f"{type(error).__name__}: {error}")))
            return
        self._send(Ready(engine.facts))
        seconds = first.beat_seconds if isinstance(first, Load) else BEAT_SECONDS
        threading.Thread(target=self._beat, args=(seconds,), name="beat", daemon=True).start()
        while True:
            self._turn(engine)

    def _turn(self, engine: Engine) -> None:
        """Handle all messages at hand, waiting for one only when there is nothing to compute; then step."""
        while not (engine.busy and self._inbox.empty()):
            self._watch_memory(engine)
            message = self._next_message(engine)
            if message is not None:
                self._handle(engine, message)
                # Before the first step nothing counts as one: that step may take as long as a load.
                self._steps += bool(self._steps)
        self._watch_memory(engine)
        self._tell(engine.step())
        self._steps += 1
        self._cached_tokens = max(self._cached_tokens, engine.cached_tokens)

    def _next_message(self, engine: Engine) -> ToWorker | None:
        """Take a message; None when none came for so long that the memory is due for a look."""
        self._waits = not engine.busy
        try:
            return self._inbox.get(timeout=_MEMORY_SECONDS if engine.cached_tokens else None)
        except queue.Empty:
            engine.prepare()
            return None
        finally:
            self._waits = False

    def _watch_memory(self, engine: Engine) -> None:
        """Look from time to time, also while nothing runs, whether others need what the cache holds."""
        now = time.monotonic()
        if now >= self._memory_due:
            self._memory_due = now + _MEMORY_SECONDS
            engine.fit_memory(spare_bytes())

    def _handle(self, engine: Engine, message: ToWorker) -> None:
        match message:
            case Generate():
                self._tell(engine.submit(request_of(message)))
            case Embed(request=request):
                self._tell(engine.submit_embedding(request))
            case Cancel(id=request_id):
                engine.cancel(request_id)
            case Load() | Prepare():
                logger.error("a {} was ignored: a worker serves one model", type(message).__name__)

    def _tell(self, events: Iterable[EngineEvent]) -> None:
        # One system call for all of a step: half the worker's time of telling 32 streams.
        frames = b"".join(frame(event_message(event.request_id, event.event)) for event in events)
        if frames:
            self._send_frames(frames)

    def _send(self, message: FromWorker) -> None:
        self._send_frames(frame(message))

    def _send_frames(self, frames: bytes) -> None:
        with self._sending:
            self._connection.sendall(frames)

    def _beat(self, seconds: float) -> None:
        """Tell the host again and again how this worker is, also while a step computes."""
        while True:
            beat = Beat(self._steps, not self._waits, resident_bytes(), peak_bytes(), self._cached_tokens)
            try:
                self._send(beat)
            except OSError:
                return  # the host went away, which ends the process
            time.sleep(seconds)

    def _read(self) -> None:
        try:
            while (payload := receive(self._connection)) is not None:
                self._inbox.put(to_worker_decoder.decode(payload))
        except Exception as error:  # noqa: BLE001 - whatever it is, the host must see the channel close
            logger.error("the channel to the host broke: {}", error)
            os._exit(1)
        os._exit(0)


def _import_ahead(factory: str) -> None:
    """Import what a model will be built with; where that fails, its load says so."""
    try:
        import_object(factory)
    except Exception as error:  # noqa: BLE001 - modules may raise anything while they are imported
        logger.debug("{!r} cannot be imported ahead: {!r}", factory, error)


def _build(message: ToWorker) -> Engine:
    if not isinstance(message, Load):
        text = f"the first message must be Load, got {type(message).__name__}"
        raise LoadError(text)
    factory = import_object(message.factory)
    model = factory(*_configuration(message))
    path = Path(message.path)
    facts = model.load(path, message.plan)
    return Engine(model, facts, TextTokenizer(path), message.plan, options=message.options)


def _configuration(message: Load) -> tuple[object, ...]:
    if message.config_class is None:
        return ()
    return (structure(import_object(message.config_class), message.config, path="$"),)
