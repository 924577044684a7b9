"""What kind of thing standard output and standard error are."""

import os
import sys

from rich.console import Console

_NO_COLOR_VARIABLES = ("NO_COLOR", "HOMEPORT_NO_COLOR")


def forget_dead_streams() -> None:
    """Send what is left for a terminal that is gone nowhere, instead of failing for it at the very end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, no path of anybody's
                os.dup2(nowhere.fileno(), stream.fileno())


def make_console(*, stderr: bool = False) -> Console:
    """Open a console that draws on a terminal only and colours only where that is wanted."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, no_color=is_colourless(), highlight=False, emoji=False)


def is_colourless() -> bool:
    """Whether the user wants no colours, see https://no-color.org."""
    return any(os.environ.get(name) for name in _NO_COLOR_VARIABLES)
