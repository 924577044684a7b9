"""``homeport stats``: the running server in figures."""

from collections.abc import Iterator
from typing import Any

import click

from homeport.cli import figures
from homeport.cli.client import JsonObject
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, harmless_line, write_json

Row = tuple[str, ...]

_QUEUE = ("WAITING", "RUNNING", "DONE", "FAILED", "REFUSED", "SUCCESS", "MEAN WAIT", "MEAN TIME")
_MODELS = ("MODEL", "BACKEND", "MEMORY", "IN USE", "SLOTS")
_BREAKERS = ("CALLED", "STATE", "CALLS", "SUCCESS", "MEAN TIME")
_PROCESSES = ("PROCESS", "PID", "MEMORY", "CPU", "THREADS")
_PERCENT = 100


@click.command("stats", epilog="\b\nExample:\n  homeport stats --json")
@json_option
@pass_invocation
def stats(invocation: Invocation, *, as_json: bool) -> None:
    """Show queue, models in memory, breakers and processes of the running server.

    JSON has all figures, those of backends among them.
    """
    loaded = invocation.load()
    warn_of(loaded)
    answer = running_client(loaded).ask("GET", "/v1/stats")
    if as_json:
        write_json(dict(answer))
        return
    click.echo("\n\n".join(_sections(answer)))


def _sections(answer: JsonObject) -> Iterator[str]:
    process = _table(answer.get("process"))
    yield columns(_QUEUE, [_queue_row(_table(answer.get("queue")))])
    for header, row, rows in (
        (_MODELS, _model_row, _rows(answer.get("models"))),
        (_BREAKERS, _breaker_row, _rows(answer.get("breakers"))),
        (_PROCESSES, _process_row, _rows(process.get("processes"))),
    ):
        if rows:
            yield columns(header, map(row, rows))


def _queue_row(queue: JsonObject) -> Row:
    return (
        f"{_text(queue.get('current_size'))}/{_text(queue.get('max_size'))}",
        _text(queue.get("active")),
        _text(queue.get("completed")),
        _text(queue.get("failed")),
        _text(queue.get("refused")),
        _share(queue.get("success_rate")),
        _seconds(queue.get("average_queue_time")),
        _seconds(queue.get("average_processing_time")),
    )


def _model_row(model: JsonObject) -> Row:
    return (
        _text(model.get("name")),
        _text(model.get("backend")),
        _size(model.get("resident_bytes")),
        _text(model.get("in_use")),
        _text(model.get("slots")),
    )


def _breaker_row(breaker: JsonObject) -> Row:
    return (
        _text(breaker.get("name")),
        _text(breaker.get("state")),
        _text(breaker.get("total_requests")),
        _share(breaker.get("success_rate")),
        _seconds(breaker.get("average_response_time")),
    )


def _process_row(process: JsonObject) -> Row:
    return (
        _text(process.get("model")) or "host",
        _text(process.get("pid")),
        _size(process.get("resident_bytes")),
        _seconds(process.get("cpu_seconds")),
        _text(process.get("threads")),
    )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else harmless_line(str(value))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _share(value: object) -> str:
    return f"{_number(value) * _PERCENT:.1f}%"


def _seconds(value: object) -> str:
    return f"{_number(value):.2f} s"


def _size(value: object) -> str:
    return figures.size(int(_number(value)))
