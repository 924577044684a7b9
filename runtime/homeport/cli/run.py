"""``homeport run``: one question to a model, a talk with it, or the vector of a text."""

import json
import math
import sys
from collections.abc import Callable
from typing import TypeVar

import attrs
import click

from homeport.cli.answer_form import AnswerForm, parse_form
from homeport.cli.answer_output import Look, answer_output
from homeport.cli.answers import ModelDescription
from homeport.cli.asking import Manner, Silence, generate
from homeport.cli.build_watch import build_watch
from homeport.cli.client import AnswerError, Client
from homeport.cli.connection import connected
from homeport.cli.image_paths import image_note
from homeport.cli.invocation import Invocation
from homeport.cli.line_history import history_of
from homeport.cli.model_completion import installed_models
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.pulling import ensure_model
from homeport.cli.repl import converse
from homeport.cli.talk import Talk
from homeport.cli.text import harmless_line, write_json
from homeport.cli.thinking_levels import parse_think
from homeport.cli.timing import timing_lines
from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import InvalidRequestError

V = TypeVar("V")

_ONE_SHOT_TEMPERATURE = 0.0
"""A question asked twice is answered alike; of 16 sampled answers about France's capital 12 were right."""

_FILL_WINDOW = -2
"""The least ``num_predict`` that Ollama knows."""

_BARE_MEANINGS = {"--think": "--think=true", "--truncate": "--truncate=true"}
"""Options whose value may be left out; it must follow an equals sign, for a word after it is the model."""

_EPILOG = """\b
Examples:
  homeport run smollm2:135m "What is the capital of France?"
  git diff | homeport run qwen3 "Sum up this change"
  homeport run smollm2:135m --format @person.schema.json "Invent a person"
  homeport run all-minilm "a text to embed\""""


class RunCommand(click.Command):
    """Reads ``--think`` and ``--truncate`` with and without a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Fill in the values that were left out."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [_BARE_MEANINGS.get(word, word) for word in args[:end]] + args[end:])


def _parsed(parse: Callable[[str], V]) -> Callable[[click.Context, click.Parameter, str | None], V | None]:
    """Make an option's callback of a function that raises ValueError."""

    def read(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> V | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read


def _keep_alive(text: str) -> str | float:
    """Read ``--keepalive``: a bare number is seconds.

    Raises:
        ValueError: It is no duration.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    value = seconds if math.isfinite(seconds) else text
    try:
        keep_alive_seconds(value)
    except InvalidRequestError as error:
        raise ValueError(error.message) from error
    return value


@attrs.frozen(kw_only=True)
class _Wish:
    """What a user wants of ``run`` beside the question."""

    manner: Manner
    look: Look
    verbose: bool
    as_json: bool
    truncate: bool | None
    dimensions: int | None


@click.command("run", cls=RunCommand, epilog=_EPILOG)
@click.argument("model", shell_complete=installed_models)
@click.argument("prompt", nargs=-1)
@click.option("--system", metavar="TEXT", help="System text, instead of the model's own.")
@click.option(
    "--temperature",
    metavar="NUMBER",
    type=click.FloatRange(min=0),
    help="0 always takes the likeliest token: the default for a PROMPT. A talk leaves it to the model.",
)
@click.option("--seed", metavar="NUMBER", type=int, help="Makes sampling repeatable.")
@click.option(
    "--num-predict",
    metavar="COUNT",
    type=click.IntRange(min=_FILL_WINDOW),
    help="Longest answer in tokens; -1 and -2 set no bound but the window.",
)
@click.option(
    "--format", "form", metavar="FORM", callback=_parsed(parse_form),
    help="json, a JSON Schema, or @FILE that holds one: the answer follows it.",
)  # fmt: skip
@click.option(
    "--think", metavar="[=LEVEL]", callback=_parsed(parse_think),
    help="Let the model think first: --think, --think=false, or =low, =medium, =high, =max.",
)  # fmt: skip
@click.option("--hidethinking", is_flag=True, help="Do not show what the model thinks first.")
@click.option(
    "--keepalive",
    metavar="DURATION",
    callback=_parsed(_keep_alive),
    help="How long the model stays in memory: 10m, 0, -1 for ever.",
)
@click.option("--verbose", is_flag=True, help="Print timings after the answer.")
@click.option("--nowordwrap", is_flag=True, help="Leave long lines to the terminal.")
@click.option(
    "--truncate", metavar="[=BOOL]", type=bool,
    help="Embedding models: cut a text that is too long, the default; =false refuses it.",
)  # fmt: skip
@click.option(
    "--dimensions", metavar="COUNT", type=click.IntRange(min=1),
    help="Embedding models: length of the vector.",
)  # fmt: skip
@click.option("--insecure", is_flag=True, hidden=True, help="Accepted for Ollama's sake.")
@json_option
@pass_invocation
def run(
    invocation: Invocation,
    *,
    model: str,
    prompt: tuple[str, ...],
    system: str | None,
    temperature: float | None,
    seed: int | None,
    num_predict: int | None,
    form: AnswerForm | None,
    think: str | bool | None,
    hidethinking: bool,
    keepalive: str | float | None,
    verbose: bool,
    nowordwrap: bool,
    truncate: bool | None,
    dimensions: int | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Ask MODEL the PROMPT, or talk to it where there is none.

    Piped input goes before the prompt. A model that is not installed is pulled first. Where no server
    answers, one runs for the length of this command. An embedding model prints the vector of the prompt.
    """
    question = _question(prompt)
    if temperature is None and question is not None:
        temperature = _ONE_SHOT_TEMPERATURE
    options = {"temperature": temperature, "seed": seed, "num_predict": num_predict}
    given = {name: value for name, value in options.items() if value is not None}
    wish = _Wish(
        manner=Manner(
            model=model, system=system, options=given, keep_alive=keepalive, form=form, think=think
        ),
        look=Look(wraps=not nowordwrap, hides_thoughts=hidethinking),
        verbose=verbose,
        as_json=as_json,
        truncate=truncate,
        dimensions=dimensions,
    )
    with connected(invocation) as client:
        description = ensure_model(client, model, insecure=insecure)
        _serve(invocation, client, description, wish, question)


def _serve(
    invocation: Invocation, client: Client, description: ModelDescription, wish: _Wish, question: str | None
) -> None:
    if description.awaited_build:
        told = f"{wish.manner.model} is built for {description.awaited_build} first, which happens once."
        click.echo(harmless_line(told), err=True)
    is_built_first = bool(description.awaited_build)
    if description.only_embeds:
        with build_watch(client, wish.manner.model, is_needed=is_built_first):
            vector = _vector(client, wish, question)
        click.echo(vector)
    elif question is None and wish.as_json:
        raise click.UsageError("a talk cannot be printed as JSON: give a PROMPT, or pipe one in")
    elif question is None:
        history = history_of(invocation.load().settings.home)
        talk = Talk(client=client, manner=wish.manner, look=wish.look, verbose=wish.verbose, history=history)
        talk.awaits_build = is_built_first
        converse(talk)
    else:
        with build_watch(client, wish.manner.model, is_needed=is_built_first):
            _ask_once(client, wish, question)


def _ask_once(client: Client, wish: _Wish, question: str) -> None:
    note = image_note(question)
    if note is not None:
        click.echo(f"Warning: {note}", err=True)
    if wish.as_json:
        answer = generate(client, wish.manner, question, Silence())
        thoughts = {"thinking": answer.thoughts} if answer.thoughts else {}
        write_json({**answer.final, "response": answer.text, **thoughts})
        return
    with answer_output(wish.look) as output:
        answer = generate(client, wish.manner, question, output)
    if wish.verbose:
        click.echo("\n" + "\n".join(timing_lines(answer.timing)), err=True)


def _vector(client: Client, wish: _Wish, text: str | None) -> str:
    """Embed a text and write its vector as JSON.

    Raises:
        click.UsageError: There is no text.
        AnswerError: The server refused, or gave no vector.
    """
    if text is None:
        raise click.UsageError(
            f"embedding models need a text: homeport run {wish.manner.model} 'your text here'"
        )
    fields = {
        "input": text,
        "model": wish.manner.model,
        "keep_alive": wish.manner.keep_alive,
        "truncate": wish.truncate,
        "dimensions": wish.dimensions,
    }
    answer = client.ask(
        "POST", "/api/embed", {key: value for key, value in fields.items() if value is not None}
    )
    vectors = answer.get("embeddings")
    if not isinstance(vectors, list) or not vectors:
        raise AnswerError(f"{client.address} gave no vector", http_status=0)
    return json.dumps(vectors[0])


def _question(prompt: tuple[str, ...]) -> str | None:
    """Put piped input before the prompt; None where there is neither, but a terminal.

    A prompt that is given and empty asks nothing, but brings the model into memory.

    Raises:
        click.UsageError: There is nothing to ask.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return " ".join(prompt) if prompt else None
    question = " ".join(part for part in (sys.stdin.read().rstrip("\n"), *prompt) if part)
    if not question.strip() and not prompt:
        raise click.UsageError("nothing to ask: give a PROMPT, pipe one in, or start it at a terminal")
    return question
