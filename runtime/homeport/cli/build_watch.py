"""What is told while a server builds a model for the first request that needs it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from homeport.cli.client import Client
from homeport.cli.pull_display import LineDisplay
from homeport.cli.pulling import describe
from homeport.domain.errors import HomeportError

_INTERVAL_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0
"""A server that takes longer to describe a model has better things to do than to be watched."""
_FAREWELL_SECONDS = 0.5
"""Whoever has the answer, or gave up on it, does not wait for the last look."""


@contextmanager
def build_watch(client: Client, model: str, *, is_needed: bool) -> Iterator[None]:
    """Write how far the build of a model is on standard error, while the block waits for an answer.

    A line for each tenth, also at a terminal: what turns there while one waits stays below them.

    Args:
        client: Its server builds.
        model: Name, as typed.
        is_needed: Whether the model awaits its build; else nothing is asked or told.
    """
    if not is_needed:
        yield
        return
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(client, model, over), name="build watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join(_FAREWELL_SECONDS)


def _watch(client: Client, model: str, over: threading.Event) -> None:
    patient = client.impatient(_PATIENCE_SECONDS)
    # Looked up for each line: a spinner puts something else in its place while it turns.
    display = LineDisplay(lambda text: sys.stderr.write(text))  # noqa: PLW0108
    while not over.wait(_INTERVAL_SECONDS):
        try:
            description = describe(patient, model)
        except HomeportError:
            return
        if over.is_set() or not description.awaited_build:
            return
        if description.build_progress is not None:
            display(description.build_progress)
