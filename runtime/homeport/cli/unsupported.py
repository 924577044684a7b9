"""Verbs of Ollama's command line that ask for an account or a service that homeport has not."""

from collections.abc import Mapping

import click

from homeport.domain.errors import HomeportError

_REASONS: Mapping[str, str] = {
    "push": "Models stay on this machine; copy the folder of models to take them along",
    "signin": "There are no accounts; `homeport keys` makes the keys that let others in",
    "login": "There are no accounts; `homeport keys` makes the keys that let others in",
    "signout": "There are no accounts to leave",
    "logout": "There are no accounts to leave",
    "launch": "Point the program at homeport by itself; it speaks the Ollama, OpenAI and Anthropic APIs",
}


def unsupported_verb(name: str) -> click.Command | None:
    """Give a command that says why it does nothing; None where Ollama has no such verb either."""
    reason = _REASONS.get(name)
    if reason is None:
        return None

    @click.command(name, hidden=True, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def refuse(arguments: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever they are
        raise HomeportError(f"{name} is not supported", hint=reason)

    refuse.help = f"Not supported. {reason}."
    return refuse
