"""Scripts and other text that is not edited: addresses in it, and calls of Ollama's own program."""

import re
from collections.abc import Iterator

from homeport_ollama.migrate.addresses import find_addresses, is_composed
from homeport_ollama.migrate.finding import Finding, State, shown
from homeport_ollama.migrate.model_names import models_in

_CALL = re.compile(
    r"(?<![\w.-])ollama[ \t]+(?P<verb>pull|run|create|cp|show|rm|push|stop)\b"
    r"(?:[ \t]+-[^\s;&|]*)*(?:[ \t]+[\"']?(?P<name>[A-Za-z0-9_][A-Za-z0-9_./:-]*))?"
)
_COMMENT = re.compile(r"\s*(#|//|;)")
_ASKING = frozenset({"pull", "run", "show"})
"""Verbs that need the model to be there, or bring it."""


def script_findings(path: str, text: str, sources: frozenset[str]) -> Iterator[Finding]:
    """Find lines that speak of an Ollama; comments may hold addresses, but call nothing."""
    for number, line in enumerate(text.splitlines(), 1):
        call = None if _COMMENT.match(line) else _CALL.search(line)
        if any(find_addresses(line, sources)) or is_composed(line):
            reason = "files of this kind are not edited; change it by hand"
        elif call:
            does = f"homeport {call.group('verb')} {call.group('name') or ''}".rstrip()
            reason = f"calls Ollama's own program; homeport does the same with: {does}"
        else:
            continue
        yield Finding(path=path, line=number, value=shown(line.strip()), state=State.ATTENTION, reason=reason)


def script_models(text: str) -> tuple[str, ...]:
    """List the models that scripts pull, run or show."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        for call in () if _COMMENT.match(line) else _CALL.finditer(line):
            if call.group("verb") in _ASKING:
                found |= dict.fromkeys(models_in(call.group("name") or ""))
    return tuple(found)
