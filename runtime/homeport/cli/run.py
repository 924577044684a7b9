"""``homeport run``: one question to a model, or a talk with it."""

import math
import sys

import click

from homeport.cli.answer_output import answer_output
from homeport.cli.asking import Manner, generate
from homeport.cli.client import Client
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import pass_invocation
from homeport.cli.pulling import ensure_model
from homeport.cli.repl import Talk, converse
from homeport.cli.timing import timing_lines
from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import InvalidRequestError

_ONE_SHOT_TEMPERATURE = 0.0
"""A question asked twice is answered alike; of 16 sampled answers about France's capital 12 were right."""

_FILL_WINDOW = -2
"""The least ``num_predict`` that Ollama knows."""


def _keep_alive(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> str | float | None:
    """Read ``--keepalive``: a bare number is seconds.

    Raises:
        click.BadParameter: It is no duration.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    value = seconds if math.isfinite(seconds) else text
    try:
        keep_alive_seconds(value)
    except InvalidRequestError as error:
        raise click.BadParameter(error.message) from error
    return value


@click.command("run", epilog='\b\nExample:\n  homeport run smollm2:135m "What is the capital of France?"')
@click.argument("model")
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
    "--keepalive",
    metavar="DURATION",
    callback=_keep_alive,
    help="How long the model stays in memory: 10m, 0, -1 for ever.",
)
@click.option("--verbose", is_flag=True, help="Print timings after the answer.")
@click.option(
    "--nowordwrap", is_flag=True, hidden=True, help="Accepted for Ollama's sake: words are never wrapped."
)
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
    keepalive: str | float | None,
    verbose: bool,
    nowordwrap: bool,  # noqa: ARG001
) -> None:
    """Ask MODEL the PROMPT, or talk to it where there is none.

    Piped input goes before the prompt. A model that is not installed is pulled first. Where no server
    answers, one runs for the length of this command.
    """
    question = _question(prompt)
    if temperature is None and question is not None:
        temperature = _ONE_SHOT_TEMPERATURE
    options = {"temperature": temperature, "seed": seed, "num_predict": num_predict}
    manner = Manner(
        model=model,
        system=system,
        options={name: value for name, value in options.items() if value is not None},
        keep_alive=keepalive,
    )
    with connected(invocation) as client:
        ensure_model(client, model)
        if question is None:
            converse(Talk(client=client, manner=manner, verbose=verbose))
        else:
            _ask_once(client, manner, question, verbose=verbose)


def _ask_once(client: Client, manner: Manner, question: str, *, verbose: bool) -> None:
    with answer_output() as output:
        answer = generate(client, manner, question, write=output.write)
    if verbose:
        click.echo("\n" + "\n".join(timing_lines(answer.timing)), err=True)


def _question(prompt: tuple[str, ...]) -> str | None:
    """Put piped input before the prompt; None where there is neither, but a terminal.

    Raises:
        click.UsageError: There is nothing to ask.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return " ".join(prompt) if prompt else None
    question = " ".join(part for part in (sys.stdin.read().rstrip("\n"), *prompt) if part)
    if not question.strip():
        raise click.UsageError("nothing to ask: give a PROMPT, pipe one in, or start it at a terminal")
    return question
