"""From lines typed at the prompt to what is meant: a message, a command, or more lines to come."""

import attrs

_FENCE = '"""'


@attrs.frozen
class TypedMessage:
    """Text for the model."""

    text: str


@attrs.frozen
class TypedCommand:
    """A line that begins with a slash.

    Attributes:
        name: With its slash: ``/set``.
        words: What follows it; a text between three double quotes is one of them.
    """

    name: str
    words: tuple[str, ...] = ()


class LineReader:
    """Puts typed lines together; three double quotes open and close a text of several lines."""

    def __init__(self) -> None:
        self._open: list[str] | None = None
        self._command: TypedCommand | None = None

    @property
    def is_open(self) -> bool:
        """Whether a message of several lines waits for its end."""
        return self._open is not None

    def feed(self, line: str) -> TypedMessage | TypedCommand | None:
        """Take a line; None where there is nothing to do yet."""
        if self._open is not None:
            return self._continue(line)
        stripped = line.strip()
        if stripped.startswith(_FENCE):
            self._open = []
            return self._continue(stripped.removeprefix(_FENCE))
        if stripped.startswith("/"):
            before, fence, text = stripped.partition(_FENCE)
            name, *words = before.split()
            command = TypedCommand(name, tuple(words))
            if not fence:
                return command
            self._open, self._command = [], command
            return self._continue(text)
        return TypedMessage(stripped) if stripped else None

    def reset(self) -> None:
        """Forget a message that was begun."""
        self._open = self._command = None

    def _continue(self, line: str) -> TypedMessage | TypedCommand | None:
        lines = self._open or []
        text = line.rstrip()
        if not text.endswith(_FENCE):
            self._open = [*lines, line]
            return None
        whole = "\n".join([*lines, text.removesuffix(_FENCE)]).strip("\n")
        command = self._command
        self.reset()
        if command is not None:
            return attrs.evolve(command, words=(*command.words, whole))
        return TypedMessage(whole) if whole.strip() else None
