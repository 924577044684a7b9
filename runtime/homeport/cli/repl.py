"""A talk with a model at the terminal."""

import click

from homeport.cli.answer_output import answer_output
from homeport.cli.asking import chat
from homeport.cli.build_watch import build_watch
from homeport.cli.image_paths import image_note
from homeport.cli.talk import Talk
from homeport.cli.talk_commands import obey
from homeport.cli.timing import timing_lines
from homeport.cli.typed_lines import LineReader, TypedCommand
from homeport.domain.errors import HomeportError

_PROMPT = ">>> "
_GREETING = "Send a message (/? for help)"
_PROMPT_INSIDE = "... "
_LEAVING = frozenset({"/bye", "/exit"})


def converse(talk: Talk) -> None:
    """Read lines and answer them until the user leaves."""
    talk.history.open()
    reader = LineReader()
    click.echo(_GREETING)
    while True:
        try:
            line = input(_PROMPT_INSIDE if reader.is_open else _PROMPT)
            talk.history.add(line)
            typed = reader.feed(line)
            if isinstance(typed, TypedCommand):
                if typed.name in _LEAVING:
                    return
                obey(talk, typed)
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
    note = image_note(text)
    if note is not None:
        click.echo(f"Note: {note}")
    question = {"role": "user", "content": text}
    try:
        watch = build_watch(talk.client, talk.manner.model, is_needed=talk.awaits_build)
        with watch, answer_output(talk.look) as output:
            answer = chat(talk.client, talk.manner, [*talk.messages, question], output)
    except KeyboardInterrupt:
        return
    finally:
        click.echo()
    talk.awaits_build = False
    said = {"role": "assistant", "content": answer.text}
    talk.messages += [question, said | ({"thinking": answer.thoughts} if answer.thoughts else {})]
    if talk.verbose:
        click.echo("\n".join(timing_lines(answer.timing)) + "\n", err=True)
