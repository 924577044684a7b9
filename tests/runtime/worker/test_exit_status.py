"""How a process ended, in words."""

import pytest

from homeport.worker.exit_status import exit_words


@pytest.mark.parametrize(
    ("returncode", "told"),
    [
        (3, "exit status 3"),
        (-6, "signal 6, SIGABRT"),
        (-9, "signal 9, SIGKILL: most likely memory ran out"),
        (-40, "signal 40"),
    ],
)
def test_signals_are_named(returncode, told):
    """A kill that nobody here sent tells of its likely cause."""
    assert exit_words(returncode) == told
