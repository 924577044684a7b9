"""What a caller asks of the gateway, beside the work of the model."""

from enum import StrEnum

import attrs


class StreamFailure(StrEnum):
    """What is to happen when an answer breaks off in the middle and cannot be continued."""

    ERROR = "error"
    """The stream ends with an error that says so."""
    RESTART = "restart"
    """Another backend begins the answer again, after a mark that what came before is void."""


class Strategy(StrEnum):
    """What counts when several models could serve."""

    BALANCED = "balanced"
    SPEED = "speed"
    QUALITY = "quality"
    COST = "cost"
    LOCAL_FIRST = "local-first"


@attrs.frozen(kw_only=True)
class Terms:
    """Conditions of one request; the defaults ask for nothing.

    Attributes:
        deadline_seconds: The whole answer must be there so long after its arrival; None takes the configured
            time, which it can only lower.
        agent: Name of the agent that asks; empty for people and programs.
        job: Name of the job it belongs to.
        tags: Further names to route and to account by.
        task: Type of the task where the caller knows it, such as ``summary``.
        session: Requests of one session prefer the backend that served the last.
        local_only: Nothing may leave this machine.
        strategy: What counts when several models could serve; None takes the configured one.
        on_stream_failure: What to do when an answer breaks off.
        seed: Fixes every random choice of the route; None draws one.
        hops: How many homeports passed the request on before this one.
    """

    deadline_seconds: float | None = None
    agent: str = ""
    job: str = ""
    tags: tuple[str, ...] = ()
    task: str = ""
    session: str = ""
    local_only: bool = False
    strategy: Strategy | None = None
    on_stream_failure: StreamFailure = StreamFailure.ERROR
    seed: int | None = None
    hops: int = 0
