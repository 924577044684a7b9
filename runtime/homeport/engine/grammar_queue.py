"""Requests that wait for the grammar of their form, which is compiled beside the steps."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import attrs

from homeport.domain.errors import InvalidRequestError, OverloadedError
from homeport.domain.generation import GenerationRequest
from homeport.engine.constraint_compiler import ConstraintCompiler, Grammar
from homeport.engine.matcher import Matcher
from homeport.engine.prompts import EncodedPrompt

MOST_COMPILE_SECONDS = 2.0
"""A grammar that takes longer is refused; its thread goes on in vain, for up to a minute with the worst."""
_THREADS = 2
"""So that one such grammar does not hold up all others."""


@attrs.frozen(kw_only=True)
class Waiting:
    """A request that waits.

    Attributes:
        request: What is asked.
        prompt: Of it, encoded.
        grammar: Of its form.
        task: Compiles the grammar.
        due: When to give up, on the monotonic clock.
    """

    request: GenerationRequest
    prompt: EncodedPrompt
    grammar: Grammar
    task: Future[Matcher]
    due: float


class GrammarQueue:
    """Compiles grammars without holding up the steps of running sequences.

    Most take a millisecond, the first one waits for the vocabulary too (0.25 s, with Python's lock held), and
    hostile ones take seconds.

    Args:
        compiler: Of the model.
    """

    def __init__(self, compiler: ConstraintCompiler) -> None:
        self._compiler = compiler
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: list[Waiting] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, request: GenerationRequest, prompt: EncodedPrompt, grammar: Grammar) -> None:
        """Let a request wait for a grammar."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="grammars")
        task = self._threads.submit(self._compiler.compile, grammar)
        due = time.monotonic() + MOST_COMPILE_SECONDS
        self._waiting.append(Waiting(request=request, prompt=prompt, grammar=grammar, task=task, due=due))

    def cancel(self, request_id: str) -> None:
        """Forget the requests of an id."""
        for waiting in self._waiting:
            if waiting.request.id == request_id:
                waiting.task.cancel()
        self._waiting = [waiting for waiting in self._waiting if waiting.request.id != request_id]

    def ready(self, seconds: float) -> Iterator[Waiting]:
        """Give the requests whose wait is over, in the order they came.

        Args:
            seconds: How long to wait for the first.
        """
        if self._waiting and seconds:
            wait([waiting.task for waiting in self._waiting], timeout=seconds, return_when=FIRST_COMPLETED)
        now = time.monotonic()
        over = [waiting for waiting in self._waiting if waiting.task.done() or now >= waiting.due]
        self._waiting = [waiting for waiting in self._waiting if waiting not in over]
        yield from over


def matcher_of(waiting: Waiting) -> Matcher:
    """Give what was compiled.

    Raises:
        InvalidRequestError: The grammar is broken, or compiling takes too long.
        OverloadedError: Others that take too long were before it.
    """
    if waiting.task.done():
        return waiting.task.result()
    if waiting.task.cancel():
        raise OverloadedError("the threads that compile grammars are busy")
    field = waiting.grammar.field
    message = f"invalid {field}: compiling it takes longer than {MOST_COMPILE_SECONDS:g} s"
    raise InvalidRequestError(message, field=field, hint="Make it smaller, or its patterns simpler")
