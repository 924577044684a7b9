"""``homeport route``: what names stand for now, and why a request would go where."""

from collections.abc import Iterator, Sequence

import click

from homeport.cli.client import JsonObject
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, harmless_line, write_json

LIST_HEADER = ("NAME", "KIND", "SERVED BY", "THEN")
CANDIDATE_HEADER = ("CANDIDATE", "LATENCY", "SUCCESS", "LOAD", "IN MEMORY", "WEIGHT", "NOTE")
_SHOWN_OTHERS = 3
_FALLBACKS = (
    ("fallbacks", "when they fail"),
    ("context_fallbacks", "when the prompt is too long"),
    ("content_fallbacks", "when the answer is rejected"),
)


@click.group("route", epilog='\b\nExample:\n  homeport route explain --model fast "Say hello"')
def route() -> None:
    """Show tiers and routes, and explain which model would serve a request."""


@route.command("list", epilog="\b\nExample:\n  homeport route list --json")
@json_option
@pass_invocation
def list_routes(invocation: Invocation, *, as_json: bool) -> None:
    """List the names that stand for models, as they are resolved now."""
    with connected(invocation) as client:
        answer = client.ask("GET", "/v1/routes")
    if as_json:
        write_json(answer)
        return
    found = _objects(answer, "data")
    click.echo(columns(LIST_HEADER, map(_name_row, found)))
    for name in found:
        for line in _refusals(name):
            click.echo(f"{_text(name, 'name')}: {line}")


@route.command("explain", epilog='\b\nExample:\n  homeport route explain --model balanced "Sum up this text"')
@click.argument("prompt")
@click.option("--model", default="auto", show_default=True, help="Model, tier or route to ask for.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the choice; an equal one decides equally.")
@click.option("--task", default="", help="Type of the task, such as summary.")
@click.option("--local-only", is_flag=True, help="Nothing may leave this machine.")
@json_option
@pass_invocation
def explain(
    invocation: Invocation,
    *,
    prompt: str,
    model: str,
    seed: int | None,
    task: str,
    local_only: bool,
    as_json: bool,
) -> None:
    """Explain which model would answer PROMPT, and why. Nothing is run."""
    terms = {"seed": seed, "task": task, "local_only": local_only}
    messages = [{"role": "user", "content": prompt}]
    with connected(invocation) as client:
        answer = client.ask(
            "POST", "/v1/routes/explain", {"model": model, "messages": messages, "homeport": terms}
        )
    if as_json:
        write_json(answer)
        return
    for line in explanation(answer):
        click.echo(line)


def explanation(answer: JsonObject) -> Iterator[str]:
    """Lay out why a request would go where."""
    chosen = answer.get("chosen")
    if isinstance(chosen, dict):
        yield f"{_target(chosen)}  (reason: {_text(answer, 'reason')}, seed: {answer.get('seed')})"
    else:
        yield f"nobody can serve {_text(answer, 'model')!r} now"
    candidates = _objects(answer, "candidates")
    if candidates:
        yield ""
        yield columns(CANDIDATE_HEADER, map(_candidate_row, candidates))
    yield from _block("Steps", map(_step, _objects(answer, "steps")))
    yield from _block("Refused", _refusals(answer))
    yield from _block("Asked next", _others(answer))


def _block(title: str, lines: Iterator[str]) -> Iterator[str]:
    shown = [f"  {line}" for line in lines]
    if shown:
        yield from ("", title, *shown)


def _others(answer: JsonObject) -> Iterator[str]:
    for key, occasion in _FALLBACKS:
        targets = _objects(answer, key)
        if targets:
            yield f"{occasion}: {', '.join(map(_target, targets))}"
    shadow = answer.get("shadow")
    if isinstance(shadow, dict):
        yield f"beside, as a shadow: {_target(shadow)}"


def _refusals(answer: JsonObject) -> Iterator[str]:
    for refusal in _objects(answer, "refusals"):
        passing = " (for now)" if refusal.get("passes") else ""
        yield f"{_target(refusal)}: {_text(refusal, 'reason')}{passing}"


def _step(step: JsonObject) -> str:
    failure = _text(step, "failure")
    if failure:
        return f"{_text(step, 'name')}: failed with {failure}, passed over"
    order = ", ".join(f"{_target(each)}{_noted(each)}" for each in _objects(step, "order"))
    return f"{_text(step, 'name')}: {order or 'left nobody'}"


def _noted(target: JsonObject) -> str:
    note = _text(target, "note")
    return f" ({note})" if note else ""


def _name_row(name: JsonObject) -> tuple[str, ...]:
    candidates = [_target(each) for each in _objects(name, "candidates")]
    first, others = (candidates or ["nobody"])[0], candidates[1:]
    then = ", ".join(others[:_SHOWN_OTHERS])
    more = len(others) - _SHOWN_OTHERS
    return _text(name, "name"), _text(name, "kind"), first, f"{then}, {more} more" if more > 0 else then


def _candidate_row(candidate: JsonObject) -> tuple[str, ...]:
    latency = _number(candidate, "latency_seconds")
    return (
        _target(candidate),
        "-" if latency is None else f"{latency:.2f} s",
        f"{_number(candidate, 'success_rate') or 0.0:.0%}",
        f"{candidate.get('in_flight')}+{candidate.get('waiting')} of {candidate.get('slots')}",
        "yes" if candidate.get("is_resident") else "no",
        f"{_number(candidate, 'weight') or 0.0:g}",
        _text(candidate, "note"),
    )


def _target(row: JsonObject) -> str:
    return f"{_text(row, 'backend')}/{_text(row, 'model')}"


def _objects(answer: JsonObject, key: str) -> Sequence[JsonObject]:
    value = answer.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(answer: JsonObject, key: str) -> str:
    return harmless_line(str(answer.get(key) or ""))


def _number(answer: JsonObject, key: str) -> float | None:
    value = answer.get(key)
    return value if isinstance(value, int | float) else None
