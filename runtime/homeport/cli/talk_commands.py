"""What a line that begins with a slash does to a talk."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import attrs
import click

from homeport.cli.answer_form import parse_form
from homeport.cli.create import creation_steps
from homeport.cli.model_definition import DEPRECATED, PARAMETERS, parameter_value
from homeport.cli.pulling import describe, ensure_model
from homeport.cli.show import SECTIONS, overview, part
from homeport.cli.talk import Talk
from homeport.cli.talk_help import HELP, SET_HELP, SHORTCUTS, SHOW_HELP
from homeport.cli.text import harmless_line
from homeport.cli.thinking_levels import parse_think
from homeport.cli.typed_lines import TypedCommand
from homeport.domain.errors import InvalidRequestError

Action = Callable[[Talk, Sequence[str]], str]
"""Does what the words after a command say, and gives what to tell the user."""


def obey(talk: Talk, command: TypedCommand) -> None:
    """Do what a command says, and tell the user.

    Raises:
        HomeportError: The server refused or failed.
    """
    action = _COMMANDS.get(command.name)
    if action is None:
        click.echo(f"Unknown command {harmless_line(command.name)!r}. /? lists them.")
    else:
        told = action(talk, command.words)
        if told:
            click.echo(told)


def _help(_talk: Talk, words: Sequence[str]) -> str:
    topics = {
        "set": SET_HELP,
        "/set": SET_HELP,
        "show": SHOW_HELP,
        "/show": SHOW_HELP,
        "shortcuts": SHORTCUTS,
    }
    return topics.get(" ".join(words), HELP)


def _clear(talk: Talk, _words: Sequence[str]) -> str:
    talk.messages = []
    return "The talk so far is forgotten."


def _load(talk: Talk, words: Sequence[str]) -> str:
    if len(words) != 1:
        return "Usage: /load MODEL"
    description = ensure_model(talk.client, words[0])
    talk.manner = attrs.evolve(talk.manner, model=words[0], system=None)
    talk.messages = []
    told = f"Now talking to {harmless_line(words[0])!r}."
    if talk.manner.think and not description.may_think:
        talk.manner = attrs.evolve(talk.manner, think=None)
        return f"{told} It does not think, so 'think' is no longer set."
    return told


def _save(talk: Talk, words: Sequence[str]) -> str:
    """Make a model of the one that is talked to, with what was set and said since."""
    if len(words) != 1:
        return "Usage: /save MODEL"
    manner = talk.manner
    before = describe(talk.client, manner.model).messages if talk.messages else ()
    fields = {
        "system": manner.system,
        "parameters": dict(manner.options),
        "messages": [*before, *({key: said[key] for key in ("role", "content")} for said in talk.messages)],
    }
    body = {"model": words[0], "from": manner.model, **{key: value for key, value in fields.items() if value}}
    with closing(creation_steps(talk.client, body)) as steps:
        for _step in steps:
            pass
    return f"Created new model '{harmless_line(words[0])}'."


def _show(talk: Talk, words: Sequence[str]) -> str:
    wanted = " ".join(words)
    if wanted and wanted not in {"info", *SECTIONS}:
        return SHOW_HELP
    description = describe(talk.client, talk.manner.model)
    if wanted in SECTIONS:
        own = _own_part(talk, wanted)
        return own or part(description, wanted) or f"The model has no {wanted}."
    return overview(description, verbose=False)


def _own_part(talk: Talk, wanted: str) -> str:
    """Give what was set in this talk instead of the model's own."""
    if wanted == "system" and talk.manner.system is not None:
        return talk.manner.system
    if wanted == "parameters" and talk.manner.options:
        lines = (
            f"{name:<30} {json.dumps(value, ensure_ascii=False)}"
            for name, given in talk.manner.options.items()
            for value in (given if isinstance(given, list) else [given])
        )
        return "Set in this talk:\n" + "\n".join(lines)
    return ""


def _set(talk: Talk, words: Sequence[str]) -> str:
    setting = _SETTINGS.get(words[0]) if words else None
    return SET_HELP if setting is None else setting(talk, words[1:])


def _set_parameter(talk: Talk, words: Sequence[str]) -> str:
    if not words:
        return "Usage: /set parameter NAME VALUE"
    name, *values = words
    kept = {other: value for other, value in talk.manner.options.items() if other != name}
    if not values:
        talk.manner = attrs.evolve(talk.manner, options=kept)
        return f"The parameter {harmless_line(name)!r} is left to the model."
    try:
        value = _option(name, values)
    except ValueError as error:
        return f"Couldn't set parameter: {harmless_line(str(error))}"
    talk.manner = attrs.evolve(talk.manner, options={**kept, name: value})
    return f"Set parameter {harmless_line(name)!r} to {harmless_line(' '.join(values))!r}."


def _option(name: str, words: Sequence[str]) -> object:
    """Read an option as the server will.

    Raises:
        ValueError: There is none of that name, or it is of another type or out of range.
    """
    from homeport.server.option_fields import read_options  # noqa: PLC0415 - 130 ms, for this alone

    if name not in PARAMETERS:
        known = () if name in DEPRECATED else ("; known: ", ", ".join(sorted(PARAMETERS)))
        try:
            return parameter_value(name, " ".join(words))
        except ValueError as error:
            raise ValueError("".join((str(error), *known))) from error
    found = [parameter_value(name, word) for word in (words if name == "stop" else [" ".join(words)])]
    value = found if name == "stop" else found[0]
    try:
        read_options({name: value})
    except InvalidRequestError as error:
        raise ValueError(f"{error.message}, got {' '.join(words)!r:.80}") from error
    return value


def _set_system(talk: Talk, words: Sequence[str]) -> str:
    text = " ".join(words).strip("\"'")
    if not text:
        return 'Usage: /set system TEXT, or /set system """TEXT of several lines"""'
    talk.manner = attrs.evolve(talk.manner, system=text)
    return "Set system message."


def _set_form(talk: Talk, words: Sequence[str]) -> str:
    try:
        form = parse_form(" ".join(words))
        if isinstance(form, Mapping):
            _check_schema(form)
    except ValueError as error:
        return f"Error: {harmless_line(str(error))}"
    talk.manner = attrs.evolve(talk.manner, form=form)
    return "Set format to 'json'." if form == "json" else "Set format to the JSON Schema."


def _check_schema(schema: Mapping[str, object]) -> None:
    """Read a JSON Schema as the server will.

    Raises:
        ValueError: It is none, or cannot be enforced.
    """
    from homeport.engine.json_schema import enforceable_schema  # noqa: PLC0415 - 150 ms, for this alone

    try:
        enforceable_schema(schema, "format")
    except InvalidRequestError as error:
        raise ValueError(error.message) from error


def _set_think(talk: Talk, words: Sequence[str]) -> str:
    try:
        think = parse_think(" ".join(words) or "true")
    except ValueError as error:
        return f"Error: {harmless_line(str(error))}"
    if think and not describe(talk.client, talk.manner.model).may_think:
        return f"Error: {harmless_line(talk.manner.model)!r} does not think: it lacks the capability thinking"
    talk.manner = attrs.evolve(talk.manner, think=think)
    return f"Set 'think' to {think!r}." if isinstance(think, str) else _THINK_WORDS[think]


_THINK_WORDS = {True: "Set 'think' mode.", False: "Set 'nothink' mode."}


def _no_form(talk: Talk, _words: Sequence[str]) -> str:
    talk.manner = attrs.evolve(talk.manner, form=None)
    return "Disabled format."


def _verbose(talk: Talk, *, is_wanted: bool) -> str:
    talk.verbose = is_wanted
    return f"Set '{'verbose' if is_wanted else 'quiet'}' mode."


def _wordwrap(talk: Talk, *, is_wanted: bool) -> str:
    talk.look = attrs.evolve(talk.look, wraps=is_wanted)
    return f"Set '{'wordwrap' if is_wanted else 'nowordwrap'}' mode."


def _history(talk: Talk, *, is_wanted: bool) -> str:
    talk.history.is_kept = is_wanted
    return f"Set '{'history' if is_wanted else 'nohistory'}' mode."


_SETTINGS: Mapping[str, Action] = {
    "parameter": _set_parameter,
    "system": _set_system,
    "format": _set_form,
    "noformat": _no_form,
    "think": _set_think,
    "nothink": lambda talk, _: _set_think(talk, ("false",)),
    "verbose": lambda talk, _: _verbose(talk, is_wanted=True),
    "quiet": lambda talk, _: _verbose(talk, is_wanted=False),
    "wordwrap": lambda talk, _: _wordwrap(talk, is_wanted=True),
    "nowordwrap": lambda talk, _: _wordwrap(talk, is_wanted=False),
    "history": lambda talk, _: _history(talk, is_wanted=True),
    "nohistory": lambda talk, _: _history(talk, is_wanted=False),
}

_COMMANDS: Mapping[str, Action] = {
    "/?": _help,
    "/help": _help,
    "/clear": _clear,
    "/load": _load,
    "/save": _save,
    "/show": _show,
    "/set": _set,
}
