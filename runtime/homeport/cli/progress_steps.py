"""Long work that a server tells of step by step: a pull, the making of a model."""

from collections.abc import Generator

from homeport.cli.answers import PullProgress
from homeport.cli.client import AnswerError, Client, JsonObject

_LAST_STATUS = "success"


def progress_steps(
    client: Client, path: str, body: JsonObject, *, work: str, remedy: str
) -> Generator[JsonObject, None, None]:
    """Post a request and yield each step as the server tells it; close it to cancel the work.

    Args:
        client: Its server does the work.
        path: Route of the work.
        body: What is asked for.
        work: Its name in an error: ``pull``.
        remedy: What to do where the server breaks off.

    Raises:
        AnswerError: The server refused, failed or broke off.
    """
    last = ""
    with client.stream(path, body) as steps:
        for step in steps:
            yield step
            last = PullProgress.from_wire(step).status
    if last != _LAST_STATUS:
        raise AnswerError(
            f"{client.address} broke off the {work} after {last!r}", http_status=200, hint=remedy
        )
