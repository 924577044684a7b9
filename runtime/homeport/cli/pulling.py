"""Pulling a model through a server."""

from collections.abc import Generator
from contextlib import closing

from homeport.cli.answers import PullProgress
from homeport.cli.client import AnswerError, Client, JsonObject
from homeport.cli.pull_display import progress_display

_LAST_STATUS = "success"
_UNKNOWN_TEXT = "file does not exist"
_NAMES_HINT = "Names are those of Ollama's library, as smollm2:135m, and OWNER/NAME of the Hugging Face hub"


def pull_steps(
    client: Client, model: str, *, force: bool = False, quant: str | None = None
) -> Generator[JsonObject, None, None]:
    """Pull a model and yield each step as the server tells it; close it to cancel the pull.

    Args:
        client: Its server does the work.
        model: Name, as typed.
        force: Fetch it even if it is installed.
        quant: What to make of its weights; None leaves it to the server.

    Raises:
        AnswerError: It cannot be found, fetched or converted.
    """
    last = ""
    wish = {} if quant is None else {"quant": quant}
    try:
        with client.stream("/api/pull", {"model": model, "force": force, **wish}) as steps:
            for step in steps:
                yield step
                last = PullProgress.from_wire(step).status
    except AnswerError as error:
        if _UNKNOWN_TEXT not in error.message:
            raise
        hint = error.hint or _NAMES_HINT
        raise AnswerError(error.message, http_status=error.http_status, hint=hint) from error
    if last != _LAST_STATUS:
        raise AnswerError(
            f"{client.address} broke off the pull after {last!r}", http_status=200, hint="Pull again to go on"
        )


def pull_model(client: Client, model: str, *, force: bool = False, quant: str | None = None) -> None:
    """Pull a model and show the progress on standard error.

    Raises:
        AnswerError: It cannot be found, fetched or converted.
    """
    with progress_display() as display, closing(pull_steps(client, model, force=force, quant=quant)) as steps:
        for step in steps:
            display(PullProgress.from_wire(step))


def ensure_model(client: Client, model: str) -> None:
    """Pull a model unless the server offers it.

    Raises:
        AnswerError: It is neither offered nor found anywhere; names the nearest that is.
    """
    try:
        client.ask("POST", "/api/show", {"model": model})
    except AnswerError as missing:
        if not missing.is_not_found:
            raise
        try:
            pull_model(client, model)
        except AnswerError as failure:
            is_unknown = _UNKNOWN_TEXT in failure.message
            hint = missing.hint or failure.hint if is_unknown else failure.hint
            raise AnswerError(failure.message, http_status=failure.http_status, hint=hint) from failure
