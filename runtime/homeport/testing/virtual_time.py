"""An event loop whose clock jumps: hours of timeouts and retries pass in milliseconds, and always alike."""

import asyncio
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor
from contextvars import Context
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
Given = ParamSpec("Given")

MOST_SECONDS = 7 * 86_400.0
"""Virtual time that a run may take."""
_TIE_SECONDS = 1e-6
"""Timers that fall due within so much of each other may swap places."""


class HangError(Exception):
    """Nothing can happen any more, or nothing ever ends."""


def run_virtual(
    coroutine: Coroutine[Any, Any, Result],
    *,
    seed: int = 0,
    most_seconds: float = MOST_SECONDS,
    work_seconds: float = 0.0,
) -> Result:
    """Run a coroutine to its end in virtual time.

    The clock of its event loop stands still while anything runs and jumps to the next timer when nothing
    does. Work for an executor is done in place. Equal coroutines run equally, in any process, as long as they
    look neither at real clocks nor at real connections, and iterate over no set of texts.

    Args:
        coroutine: What to run.
        seed: Mixes the order of timers that fall due together, which asyncio leaves open; 0 does not.
        most_seconds: Virtual time that it may take.
        work_seconds: Virtual time that work for an executor takes at most; how long is drawn by the seed.

    Raises:
        HangError: It waits for something that never comes, or still runs when the time is over.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(seed, most_seconds, work_seconds)) as runner:
        return runner.run(coroutine)


def in_virtual_time(function: Callable[Given, Coroutine[Any, Any, Result]]) -> Callable[Given, Result]:
    """Make a test that is a coroutine function run in virtual time."""

    @wraps(function)
    def run(*args: Given.args, **options: Given.kwargs) -> Result:
        return run_virtual(function(*args, **options))

    return run


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time; see :func:`run_virtual`."""

    def __init__(self, seed: int = 0, most_seconds: float = MOST_SECONDS, work_seconds: float = 0.0) -> None:
        self._now = 0.0
        self._most_seconds = most_seconds
        self._work_seconds = work_seconds
        self._work = random.Random(seed)  # noqa: S311 - draws durations
        self._ties = random.Random(seed) if seed else None  # noqa: S311 - orders timers
        super().__init__(_JumpingSelector(self._jump))
        self.set_task_factory(partial(_numbered_task, itertools.count()))

    def time(self) -> float:
        """Tell the virtual time in seconds; it begins at 0."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a moment."""
        moment = when if self._ties is None else when + self._ties.random() * _TIE_SECONDS
        return super().call_at(moment, callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002 - no thread is asked
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> "asyncio.Future[Result]":
        """Do the work in place; who waits for it goes on when its virtual time is over."""
        future: asyncio.Future[Result] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - handed on, as an executor does
            self._later(_settle, future, future.set_exception, error)
        else:
            self._later(_settle, future, future.set_result, result)
        return future

    def _later(self, callback: Callable[[*Arguments], object], *args: *Arguments) -> None:
        if self._work_seconds:
            self.call_later(self._work.uniform(0.0, self._work_seconds), callback, *args)
        else:
            self.call_soon(callback, *args)

    def _jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise HangError(f"nothing can happen any more at {self._now:g} s; {self._waiting()}")
        self._now += seconds
        if self._now > self._most_seconds:
            raise HangError(f"not at its end after {self._most_seconds:g} s; {self._waiting()}")

    def _waiting(self) -> str:
        """List the tasks and the line that each waits in."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        return "waiting: " + ("; ".join(map(_place, tasks)) or "nobody")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells how long it would have."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout != 0:
            self._jump(timeout)
        return ready


class _NumberedTask(asyncio.Task[Result]):
    """A task whose place in a set follows from when it was made, and not from where it lies in memory."""

    def __init__(self, number: int, coroutine: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


def _numbered_task(
    numbers: Iterator[int],
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Result] | Generator[Any, None, Result],
    **options: Any,  # noqa: ANN401 - handed on
) -> "asyncio.Task[Result]":
    return _NumberedTask(next(numbers), coroutine, loop=loop, **options)


def _settle(future: "asyncio.Future[Any]", settle: Callable[[Any], None], value: object) -> None:
    if not future.cancelled():
        settle(value)


def _place(task: "asyncio.Task[Any]") -> str:
    stack = task.get_stack(limit=1)
    where = f"{stack[0].f_code.co_qualname}, line {stack[0].f_lineno}" if stack else "its end"
    return f"{task.get_name()} in {where}"
