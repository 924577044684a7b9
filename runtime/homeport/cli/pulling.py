"""Pulling a model through a server."""

from collections.abc import Generator
from contextlib import closing

from homeport.cli.answers import ModelDescription, PullProgress
from homeport.cli.client import AnswerError, Client, JsonObject
from homeport.cli.progress_steps import progress_steps
from homeport.cli.pull_display import progress_display

_UNKNOWN_TEXT = "file does not exist"
_NAMES_HINT = "Names are those of Ollama's library, as smollm2:135m, and OWNER/NAME of the Hugging Face hub"


def pull_steps(
    client: Client, model: str, *, force: bool = False, quant: str | None = None, insecure: bool = False
) -> Generator[JsonObject, None, None]:
    """Pull a model and yield each step as the server tells it; close it to cancel the pull.

    Args:
        client: Its server does the work.
        model: Name, as typed.
        force: Fetch it even if it is installed.
        quant: What to make of its weights; None leaves it to the server.
        insecure: Asks a server such as Ollama to fetch it without TLS; ours never does.

    Raises:
        AnswerError: It cannot be found, fetched or converted.
    """
    wish = ({} if quant is None else {"quant": quant}) | ({"insecure": True} if insecure else {})
    body = {"model": model, "force": force, **wish}
    try:
        yield from progress_steps(client, "/api/pull", body, work="pull", remedy="Pull again to go on")
    except AnswerError as error:
        if _UNKNOWN_TEXT not in error.message:
            raise
        hint = error.hint or _NAMES_HINT
        raise AnswerError(error.message, http_status=error.http_status, hint=hint) from error


def pull_model(
    client: Client, model: str, *, force: bool = False, quant: str | None = None, insecure: bool = False
) -> None:
    """Pull a model and show the progress on standard error.

    Raises:
        AnswerError: It cannot be found, fetched or converted.
    """
    pull = pull_steps(client, model, force=force, quant=quant, insecure=insecure)
    with progress_display() as display, closing(pull) as steps:
        for step in steps:
            display(PullProgress.from_wire(step))


def ensure_model(client: Client, model: str, *, insecure: bool = False) -> ModelDescription:
    """Describe a model, and pull it first where the server does not offer it.

    Raises:
        AnswerError: It is neither offered nor found anywhere; names the nearest that is.
    """
    try:
        return describe(client, model)
    except AnswerError as missing:
        if not missing.is_not_found:
            raise
        try:
            pull_model(client, model, insecure=insecure)
        except AnswerError as failure:
            is_unknown = _UNKNOWN_TEXT in failure.message
            hint = missing.hint or failure.hint if is_unknown else failure.hint
            raise AnswerError(failure.message, http_status=failure.http_status, hint=hint) from failure
    return describe(client, model)


def describe(client: Client, model: str) -> ModelDescription:
    """Ask for the description of a model.

    Raises:
        AnswerError: The server does not offer it.
    """
    return ModelDescription.from_wire(client.ask("POST", "/api/show", {"model": model}))
