"""A talk with a model at the terminal."""

from collections.abc import Callable, Mapping
from contextlib import suppress

import attrs
import click

from homeport.cli.answer_output import answer_output
from homeport.cli.answers import ModelDescription
from homeport.cli.asking import ChatMessage, Manner, chat
from homeport.cli.client import Client
from homeport.cli.pulling import ensure_model
from homeport.cli.show import SECTIONS, overview, part
from homeport.cli.text import harmless_line
from homeport.cli.timing import timing_lines
from homeport.cli.typed_lines import LineReader, TypedCommand, option_value
from homeport.domain.errors import HomeportError

_HELP = '''\
/set parameter NAME VALUE   set a sampling option, as in /set parameter temperature 0
/set parameter NAME         leave that option to the model again
/set system TEXT            set the system text
/set verbose | quiet        show timings after each answer, or do not
/show [PART]                describe the model; PART is one of license modelfile parameters system template
/load MODEL                 go on with another model, the talk so far is forgotten
/clear                      forget the talk so far
/bye                        leave, as does Ctrl-D
/?                          this help
Three double quotes (""") open and close a message of several lines. Ctrl-C stops an answer.'''

_PROMPT = ">>> "
_PROMPT_INSIDE = "... "


@attrs.define(kw_only=True)
class Talk:
    """The state of a talk.

    Attributes:
        client: Server that is talked to.
        manner: How the model is asked.
        verbose: Whether timings follow each answer.
        messages: What was said.
    """

    client: Client
    manner: Manner
    verbose: bool = False
    messages: list[ChatMessage] = attrs.field(factory=list)


def converse(talk: Talk) -> None:
    """Read lines and answer them until the user leaves."""
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - gives input() its editing and history
    reader = LineReader()
    while True:
        try:
            typed = reader.feed(input(_PROMPT_INSIDE if reader.is_open else _PROMPT))
            if isinstance(typed, TypedCommand):
                if typed.name in {"/bye", "/exit"}:
                    return
                _obey(talk, typed)
            elif typed is not None:
                _answer(talk, typed.text)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            reader.reset()
            click.echo("\nUse Ctrl-D or /bye to leave.")
        except HomeportError as error:
            click.echo(f"Error: {error}", err=True)


def _answer(talk: Talk, text: str) -> None:
    """Ask and print; an answer that is stopped or fails leaves the talk as it was."""
    question = {"role": "user", "content": text}
    try:
        with answer_output() as output:
            answer = chat(talk.client, talk.manner, [*talk.messages, question], write=output.write)
    except KeyboardInterrupt:
        return
    finally:
        click.echo()
    talk.messages += [question, {"role": "assistant", "content": answer.text}]
    if talk.verbose:
        click.echo("\n".join(timing_lines(answer.timing)) + "\n", err=True)


def _obey(talk: Talk, command: TypedCommand) -> None:
    action = _COMMANDS.get(command.name)
    if action is None:
        click.echo(f"Unknown command {harmless_line(command.name)!r}. /? lists them.")
    else:
        action(talk, command)


def _help(_talk: Talk, _command: TypedCommand) -> None:
    click.echo(_HELP)


def _clear(talk: Talk, _command: TypedCommand) -> None:
    talk.messages = []
    click.echo("The talk so far is forgotten.")


def _load(talk: Talk, command: TypedCommand) -> None:
    if len(command.words) != 1:
        click.echo("Usage: /load MODEL")
        return
    ensure_model(talk.client, command.words[0])
    talk.manner = attrs.evolve(talk.manner, model=command.words[0], system=None)
    talk.messages = []


def _show(talk: Talk, command: TypedCommand) -> None:
    wanted = command.rest(0)
    if wanted and wanted not in SECTIONS:
        click.echo(f"Usage: /show [{' | '.join(SECTIONS)}]")
        return
    answer = talk.client.ask("POST", "/api/show", {"model": talk.manner.model})
    description = ModelDescription.from_wire(answer)
    click.echo(part(description, wanted) if wanted else overview(description, verbose=False))


def _set(talk: Talk, command: TypedCommand) -> None:
    match command.words:
        case ("verbose",) | ("quiet",):
            talk.verbose = command.words[0] == "verbose"
        case ("system", _, *_):
            talk.manner = attrs.evolve(talk.manner, system=command.rest(1).strip("\"'"))
        case ("parameter", name, first, *more):
            value = option_value(name, (first, *more))
            talk.manner = attrs.evolve(talk.manner, options={**talk.manner.options, name: value})
        case ("parameter", name):
            kept = {other: value for other, value in talk.manner.options.items() if other != name}
            talk.manner = attrs.evolve(talk.manner, options=kept)
        case _:
            click.echo("Usage: /set parameter NAME VALUE, /set system TEXT, /set verbose, /set quiet")


_COMMANDS: Mapping[str, Callable[[Talk, TypedCommand], None]] = {
    "/?": _help,
    "/help": _help,
    "/clear": _clear,
    "/load": _load,
    "/show": _show,
    "/set": _set,
}
