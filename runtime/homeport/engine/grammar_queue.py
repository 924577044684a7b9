"""Requests that wait for the grammar of their form, which is compiled beside the steps."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import attrs

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import GenerationRequest
from homeport.domain.overload import OverloadedError
from homeport.engine.constraint_compiler import ConstraintCompiler, Grammar
from homeport.engine.matcher import Matcher
from homeport.engine.prompts import EncodedPrompt

MOST_COMPILE_SECONDS = 5.0
"""A grammar that takes longer is refused; its thread goes on in vain, for up to a minute with the worst."""
MOST_QUEUE_SECONDS = 10.0
"""So long a grammar waits for a thread."""
_THREADS = 2
"""So that one such grammar does not hold up all others."""


class Compilation:
    """A grammar on its way through a thread.

    Args:
        compiler: Of the model.
        grammar: To compile.

    Attributes:
        grammar: As given.
        began_at: When it had a thread and the vocabulary, on the monotonic clock; None before.
    """

    def __init__(self, compiler: ConstraintCompiler, grammar: Grammar) -> None:
        self._compiler = compiler
        self.grammar = grammar
        self.began_at: float | None = None

    def run(self) -> Matcher:
        """Compile; reading the vocabulary is not this grammar's own time."""
        self._compiler.read_vocabulary()
        self.began_at = time.monotonic()
        return self._compiler.compile(self.grammar)


@attrs.frozen(kw_only=True)
class Waiting:
    """A request that waits.

    Attributes:
        request: What is asked.
        prompt: Of it, encoded.
        compilation: Of the grammar of its form.
        task: Runs that.
        came_at: When it came, on the monotonic clock.
    """

    request: GenerationRequest
    prompt: EncodedPrompt
    compilation: Compilation
    task: Future[Matcher]
    came_at: float

    def is_over(self, now: float) -> bool:
        """Say whether there is nothing to wait for any more; a grammar that got no thread is given up."""
        if self.task.done():
            return True
        began_at = self.compilation.began_at
        if began_at is not None:
            return now >= began_at + MOST_COMPILE_SECONDS
        return now >= self.came_at + MOST_QUEUE_SECONDS and self.task.cancel()


class GrammarQueue:
    """Compiles grammars without holding up the steps of running sequences.

    Most take a few milliseconds, the first one may wait for the vocabulary too, and hostile ones take
    seconds.

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
        compilation = Compilation(self._compiler, grammar)
        task = self._threads.submit(compilation.run)
        now = time.monotonic()
        self._waiting.append(
            Waiting(request=request, prompt=prompt, compilation=compilation, task=task, came_at=now)
        )

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
        over = [waiting for waiting in self._waiting if waiting.is_over(now)]
        self._waiting = [waiting for waiting in self._waiting if waiting not in over]
        yield from over


def matcher_of(waiting: Waiting) -> Matcher:
    """Give what was compiled.

    Raises:
        InvalidRequestError: The grammar is broken, or compiling takes too long.
        OverloadedError: Others that take too long were before it.
    """
    if waiting.task.cancelled():
        raise OverloadedError("the threads that compile grammars are busy")
    if waiting.task.done():
        return waiting.task.result()
    field = waiting.compilation.grammar.field
    message = f"invalid {field}: compiling it takes longer than {MOST_COMPILE_SECONDS:g} s"
    raise InvalidRequestError(message, field=field, hint="Make it smaller, or its patterns simpler")
