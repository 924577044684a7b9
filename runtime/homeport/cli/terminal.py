"""What kind of thing standard output and standard error are."""

import os
import sys

from rich.console import Console

_NO_COLOR_VARIABLES = ("NO_COLOR", "HOMEPORT_NO_COLOR")


def make_console(*, stderr: bool = False) -> Console:
    """Open a console that draws on a terminal only and colours only where that is wanted."""
    stream = sys.stderr if stderr else sys.stdout
    colourless = any(os.environ.get(name) for name in _NO_COLOR_VARIABLES)
    return Console(file=stream, no_color=colourless, highlight=False, emoji=False)
